import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';

/** What claims are measured against: a platform with one pool, and how the same function starts there without it. */
export interface BenchTarget {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly namespace: string;
  readonly poolName: string;
  claimRequest(claimId: string): ClaimRequestInput;
  /** Until as many standby pods are there as the pool wants: a claim then meets a quiet machine. */
  filled(): Promise<void>;
  /** One exchange with the claim API that does nothing, after a pause as long as between claims. */
  roundTripMs(): Promise<number>;
  coldStart(): Promise<{ firstResponseMs: number; importMs: number }>;
  stop(): Promise<void>;
}
