import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';

/** What claims are measured against: a platform with one pool, and how the same function starts there without it. */
export interface BenchTarget {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly namespace: string;
  readonly poolName: string;
  /** A GET of the claim API that does next to nothing. */
  readonly emptyPath: string;
  /** How the pool became full for the first time; on a cluster. */
  readonly fill?: PoolFill;
  claimRequest(claimId: string): ClaimRequestInput;
  /** Until a claim can have as many standby pods as the pool wants. */
  filled(): Promise<void>;
  /** The same, and until nothing is being started or taken down any more: a claim then meets a quiet machine. */
  quiet(): Promise<void>;
  coldStart(): Promise<ColdStart>;
  stop(): Promise<void>;
}

export interface ColdStart {
  firstResponseMs: number;
  importMs: number;
  /** Where the function starts as a pod: until its container runs, and until it is Ready. */
  pod?: { runningMs: number; readyMs: number; runningWithoutVolumeMs: number };
}

export interface PoolFill {
  pods: number;
  /** From `kubectl apply` of the pool. */
  ms: number;
  /** What the apiserver answered with 429 until then, to anyone. */
  throttledRequests: number;
}
