import type { ClaimRequest } from '@warmpool/protocol/claim-api.ts';
import type { Clock } from '../engine/clock.ts';
import type { WarmPool } from '../core/resources.ts';
import { claimError, type ClaimError } from '../errors.ts';
import type { Inventory } from './inventory.ts';
import type { Candidate } from './standby-index.ts';

/** 8. Nothing is standby: wait for one, start one cold, or say no, as the pool wants it. */
export async function waitForStandby(
  deps: { inventory: Inventory; clock: Clock },
  pool: WarmPool,
  key: string,
  request: ClaimRequest,
  signal: AbortSignal,
  deadlineMonotonicMs: number,
): Promise<Candidate | 'cold'> {
  const { inventory, clock } = deps;
  const { onEmpty, queueLength, maxWaitSeconds } = pool.spec.claims;
  const queue = inventory.queue(key);
  const refuse = (code: 'PoolEmpty' | 'QueueFull', words: string): ClaimError =>
    claimError(code, words, {
      retryAfterSeconds: inventory.refill.retryAfterSeconds(key, queue.length, pool.spec.replicas),
    });

  if (onEmpty === 'Cold') return 'cold';
  if (onEmpty === 'Reject') throw refuse('PoolEmpty', `pool ${key} has no standby pod and does not let claims wait`);
  if (queue.length >= queueLength)
    throw refuse('QueueFull', `pool ${key} has no standby pod and ${queue.length} claims wait already`);

  const leftMs = deadlineMonotonicMs - clock.monotonic();
  const maxWaitMs = Math.min(maxWaitSeconds * 1000, leftMs);
  const outcome = await queue.wait(request.function.tenant, maxWaitMs, signal);
  switch (outcome.kind) {
    case 'given':
      return outcome.item;
    case 'aborted':
      throw claimError('ClaimAbandoned', 'the client went away while the claim waited');
    case 'closed':
      throw claimError(
        'Draining',
        `pool ${key} was deleted, or this operator stops, while the claim waited; try again`,
        { retryAfterSeconds: 1 },
      );
    case 'timeout':
      if (maxWaitMs < leftMs) throw refuse('PoolEmpty', `pool ${key} had no standby pod for ${maxWaitSeconds} s`);
      throw claimError(
        'ClaimDeadlineExceeded',
        `claim ${request.claimId} waited for a standby pod of pool ${key} until its deadline of ${request.deadlineMs} ms`,
      );
  }
}
