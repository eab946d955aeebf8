/** Ways to break the product or its surroundings on purpose, to see that an invariant notices. */
export interface Sabotage {
  /** Claims and removals no longer test what they start from. */
  stripsTests?: boolean;
  /** No watch shows standby pods: only lists do. */
  hidesStandbyPods?: boolean;
  /** Nodes let a second load into a process that has one. */
  acceptsTwoLoads?: boolean;
  /** Deletions of pods are answered and not done. */
  forgetsDeletions?: boolean;
  /** Every replica takes itself for the leader. */
  everybodyLeads?: boolean;
  /** Nobody says that a process has ended. */
  hidesDeaths?: boolean;
}
