/** Ways to break the product or its surroundings on purpose, to see that an invariant notices. */
export interface Sabotage {
  /** Claims and removals no longer test what they start from. */
  stripsTests?: boolean;
  /** No watch shows a new pod. */
  hidesAddedPods?: boolean;
  /** A node lets a second load into a process that has one. */
  acceptsTwoLoads?: boolean;
  /** Deletions of pods are answered and not done. */
  forgetsDeletions?: boolean;
  /** Every replica takes itself for the leader. */
  everybodyLeads?: boolean;
  /** Nodes say of each process that it waits for a load, whatever happened to it. */
  reportsAlwaysStandby?: boolean;
}
