import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';

/** What claims are measured against: a platform with one pool, and how the same function starts there without it. */
export interface BenchTarget {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly namespace: string;
  readonly poolName: string;
  /** A GET of the claim API that does next to nothing. */
  readonly emptyPath: string;
  claimRequest(claimId: string): ClaimRequestInput;
  /** Until as many standby pods are there as the pool wants: a claim then meets a quiet machine. */
  filled(): Promise<void>;
  coldStart(): Promise<{ firstResponseMs: number; importMs: number }>;
  stop(): Promise<void>;
}
