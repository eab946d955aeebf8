import type { Condition } from '@warmpool/protocol/warm-pool.ts';
import { metaTime } from './kube-time.ts';

export type ConditionUpdate = Omit<Condition, 'lastTransitionTime'>;

/**
 * The conditions with `update` in them. `lastTransitionTime` moves only when the status flips. Returns the very same array when
 * nothing changed, so that a caller can tell there is nothing to write.
 */
export function setCondition(
  conditions: readonly Condition[],
  update: ConditionUpdate,
  nowUnixMs: number,
): readonly Condition[] {
  const old = conditions.find(({ type }) => type === update.type);
  if (old && isSame(old, update)) return conditions;
  const lastTransitionTime = old?.status === update.status ? old.lastTransitionTime : metaTime(nowUnixMs);
  const next: Condition = { ...update, lastTransitionTime };
  return old ? conditions.map((condition) => (condition === old ? next : condition)) : [...conditions, next];
}

export function setConditions(
  conditions: readonly Condition[],
  updates: readonly ConditionUpdate[],
  nowUnixMs: number,
): readonly Condition[] {
  return updates.reduce((merged, update) => setCondition(merged, update, nowUnixMs), conditions);
}

export function findCondition(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

function isSame(old: Condition, update: ConditionUpdate): boolean {
  return (
    old.status === update.status &&
    old.reason === update.reason &&
    old.message === update.message &&
    old.observedGeneration === update.observedGeneration
  );
}
