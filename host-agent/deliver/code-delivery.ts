/** Makes a tree of the code cache visible to one pod. */
export interface CodeDelivery {
  /** Returns the path by which the pod itself sees the tree. Delivering again to the same pod replaces what was there. */
  deliver(podFolder: { codeLink: string }, treePath: string): string;
}
