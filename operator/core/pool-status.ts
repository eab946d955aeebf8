import type { WarmPoolStatus } from '@warmpool/protocol/warm-pool.ts';
import { setConditions, type ConditionUpdate } from '../engine/conditions.ts';
import type { Stored } from '../engine/kube-client.ts';
import { standbySelector, type Member } from './plan-pool.ts';
import type { WarmPool } from './resources.ts';
import type { Stall } from './stall.ts';

export interface PoolStatusInput {
  pool: Stored<WarmPool>;
  members: Member[];
  claimed: number;
  /** Why pods cannot be made or do not become standby, in the words of whoever said it. */
  trouble: Stall | undefined;
  nowUnixMs: number;
}

/** The status to write; the same object as the pool has when nothing changed, so that a quiet pool causes no write. */
export function poolStatus(input: PoolStatusInput): WarmPoolStatus {
  const { pool, members, nowUnixMs } = input;
  const ready = members.filter((member) => member.isReady);
  const updated = members.filter((member) => member.isUpdated);
  const generation = pool.metadata.generation ?? 0;
  const conditions = setConditions(
    pool.status?.conditions ?? [],
    conditionUpdates(input, ready.length, generation),
    nowUnixMs,
  );
  const status: WarmPoolStatus = {
    observedGeneration: generation,
    replicas: members.length,
    readyReplicas: ready.length,
    updatedReplicas: updated.length,
    updatedReadyReplicas: updated.filter((member) => member.isReady).length,
    claimedReplicas: input.claimed,
    selector: standbySelector(pool.metadata.name),
    conditions: [...conditions],
  };
  return pool.status !== undefined && isSame(pool.status, status) ? pool.status : status;
}

function conditionUpdates(input: PoolStatusInput, ready: number, observedGeneration: number): ConditionUpdate[] {
  const wanted = input.pool.spec.replicas;
  const isFull = ready >= wanted && input.members.length === wanted;
  const isStalled = input.trouble !== undefined;
  return [
    {
      type: 'Ready',
      status: ready >= wanted ? 'True' : 'False',
      reason: ready >= wanted ? 'PoolFull' : 'PoolFilling',
      message: ready >= wanted ? 'every standby pod that is wanted is there' : 'standby pods are missing',
      observedGeneration,
    },
    {
      type: 'Progressing',
      status: isFull || isStalled ? 'False' : 'True',
      reason: isFull ? 'Complete' : isStalled ? 'Stalled' : 'Replacing',
      message: isFull
        ? 'nothing is left to do'
        : isStalled
          ? 'see the Stalled condition'
          : 'pods are being made or removed',
      observedGeneration,
    },
    {
      type: 'Stalled',
      status: isStalled ? 'True' : 'False',
      reason: input.trouble?.reason ?? 'NotStalled',
      message: input.trouble?.message ?? 'nothing stands in the way',
      observedGeneration,
    },
  ];
}

function isSame(before: WarmPoolStatus, after: WarmPoolStatus): boolean {
  return (Object.keys(after) as (keyof WarmPoolStatus)[]).every(
    (field) => JSON.stringify(before[field]) === JSON.stringify(after[field]),
  );
}
