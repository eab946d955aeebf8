import { WARM_POOLS, type WarmPool } from '../core/resources.ts';
import type { EventRecorder } from '../engine/events.ts';
import type { Stored } from '../engine/kube-client.ts';
import type { ClaimError } from '../errors.ts';

/** Faults of a claim that whoever made the pool has to mend, and sees in `kubectl describe`. */
const FAULTS_OF_POOLS: ReadonlySet<string> = new Set(['CredentialsMissing']);

export function tellPool(events: Pick<EventRecorder, 'record'>, pool: Stored<WarmPool>, error: ClaimError): void {
  if (!FAULTS_OF_POOLS.has(error.code)) return;
  const message = `A claim failed: ${error.message}`;
  events.record(
    { resource: WARM_POOLS, object: pool },
    { type: 'Warning', reason: error.code, action: 'FetchCode', message },
  );
}
