/** The part of a pod that delivery works on. */
export interface DeliveryTarget {
  podUid: string;
  folder: {
    /** In local mode, what the pod reads the tree by; it also tells this program after a restart. */
    codeLink: string;
    /** The folder that the pod sees, by its real path. */
    volumePath: string;
  };
}

/** Makes a tree of the code cache visible to one pod. */
export interface CodeDelivery {
  /** Returns the path by which the pod itself sees the tree. Delivering again to the same pod replaces what was there. */
  deliver(pod: DeliveryTarget, treePath: string): string | Promise<string>;
}
