import { LABEL_CLAIM, LABEL_POOL, LABEL_STATE } from '@warmpool/protocol/names.ts';
import type { Stall } from './stall.ts';
import type { WarmPoolSpec } from '@warmpool/protocol/warm-pool.ts';

/** What the plan needs to know about one pod that the pool owns and that is not being deleted. */
export interface Member {
  uid: string;
  /** A claim could take it now. */
  isReady: boolean;
  /** A claim has it in hand: the plan leaves it alone. */
  isReserved: boolean;
  isUpdated: boolean;
  /** It can never become standby: finished, restarted, failed, or loaded without a claim. The words say which. */
  trouble: string | undefined;
  /** Neither ready nor dead: what holds it up, when it is known. */
  stall?: Stall | undefined;
  createdAtUnixMs: number;
  /** Since when it has had to become ready: its creation, or the moment when its node was not heard any more. */
  awaitedSinceUnixMs: number;
}

export interface PoolPlanInput {
  spec: Pick<WarmPoolSpec, 'replicas' | 'standby' | 'rollout'>;
  members: Member[];
  /** Writes of ours that the cache has not shown yet: nothing may be counted on, so nothing is created or removed for size. */
  isCacheBehind: boolean;
  /** After boot failures: no creation before then. */
  createNotBeforeUnixMs: number;
  nowUnixMs: number;
}

export interface PoolPlan {
  create: number;
  /** Each with the reason that goes into the event and the log. */
  remove: { uid: string; reason: RemoveReason; message: string }[];
  /** Look again then, though nothing may have changed. */
  requeueAfterMs: number | undefined;
  /** Standby pods that died or did not get ready in time. */
  failedBoots: number;
}

export type RemoveReason = 'Dead' | 'Stuck' | 'ScaleDown' | 'Outdated';

/** One pass never creates more than this: a mistake then is a small one, and the next pass follows at once. */
const CREATE_BURST = 250;
/** `readySeconds` is for this many pods made at about the same time; for those behind them it is as many times as long, up to a bound. */
const BOOTS_AT_ONCE = 10;
const MOST_CROWDED = 10;
/** The end of a reservation that changed nothing is told by no event. */
const RESERVED_CHECK_MS = 1_000;

/**
 * What to do about a pool's size. Dead and stuck pods go first whatever the size; then size (booting before ready, oldest first);
 * then outdated pods: for each of up to `rollout.maxSurge` of them one more pod is made first, and those that are ready go as far as
 * `rollout.maxUnavailable` ready pods too few are left.
 */
export function planPool(input: PoolPlanInput): PoolPlan {
  const { spec, nowUnixMs } = input;
  const remove: PoolPlan['remove'] = [];
  const bootLimitMs = spec.standby.readySeconds * 1000;
  const keep: Member[] = [];
  let nextCheckMs: number | undefined;

  for (const member of input.members) {
    const awaitedMs = nowUnixMs - member.awaitedSinceUnixMs;
    const isBooting = !member.isReady && !waitsForNode(member);
    // looked at only when it matters
    const limitMs =
      isBooting && awaitedMs >= bootLimitMs ? bootLimitMs * crowding(member, input.members, bootLimitMs) : bootLimitMs;
    if (member.isReserved) {
      keep.push(member);
      nextCheckMs = Math.min(nextCheckMs ?? Infinity, RESERVED_CHECK_MS);
    } else if (member.trouble !== undefined) {
      remove.push({ uid: member.uid, reason: 'Dead', message: member.trouble });
    } else if (isBooting && awaitedMs >= limitMs) {
      remove.push({
        uid: member.uid,
        reason: 'Stuck',
        message: `not standby for ${limitMs / 1000} s${member.stall ? `: ${member.stall.message}` : ''}`,
      });
    } else {
      keep.push(member);
      if (isBooting) nextCheckMs = Math.min(nextCheckMs ?? Infinity, limitMs - awaitedMs);
    }
  }
  const failedBoots = remove.length;
  const plan: PoolPlan = { create: 0, remove, requeueAfterMs: nextCheckMs, failedBoots };
  if (input.isCacheBehind) return plan;

  const outdated = keep.filter((member) => !member.isUpdated && !member.isReserved);
  const missing = spec.replicas + Math.min(spec.rollout.maxSurge, outdated.length) - keep.length;
  if (missing > 0) {
    const waitMs = input.createNotBeforeUnixMs - nowUnixMs;
    if (waitMs > 0) plan.requeueAfterMs = Math.min(plan.requeueAfterMs ?? Infinity, waitMs);
    else plan.create = Math.min(missing, CREATE_BURST);
  } else if (missing < 0) {
    const order = keep.filter((member) => !member.isReserved).sort(byWorth);
    for (const { uid } of order.slice(0, -missing)) {
      remove.push({ uid, reason: 'ScaleDown', message: `more than the ${spec.replicas} wanted` });
    }
  }
  if (missing >= 0 && keep.length >= spec.replicas) {
    const ready = keep.filter((member) => member.isReady).length;
    remove.push(...replaceable(outdated, ready - (spec.replicas - spec.rollout.maxUnavailable)));
  }
  return plan;
}

/**
 * How many times as long as another this pod may boot. A node starts pods a few at a time: to replace those that wait for their turn
 * would only send them to the end of the queue, and a large pool would not fill.
 */
function crowding(pod: Member, members: Member[], bootLimitMs: number): number {
  const { createdAtUnixMs } = pod;
  let inFront = 0;
  for (const other of members)
    if (other.createdAtUnixMs <= createdAtUnixMs && other.createdAtUnixMs > createdAtUnixMs - bootLimitMs) inFront++;
  return Math.min(MOST_CROWDED, Math.ceil(inFront / BOOTS_AT_ONCE));
}

/** It does not boot slowly, it does not boot at all: a new one in its place would wait as long, and lose its place. */
function waitsForNode({ stall }: Member): boolean {
  return stall?.reason === 'Unschedulable';
}

/** Worth least first: booting before ready, outdated before updated, then oldest first. */
function byWorth(a: Member, b: Member): number {
  return (
    Number(a.isReady) - Number(b.isReady) ||
    Number(a.isUpdated) - Number(b.isUpdated) ||
    a.createdAtUnixMs - b.createdAtUnixMs
  );
}

/** Those that nobody could claim anyway, and the oldest of the others. */
function replaceable(outdated: Member[], readyToSpare: number): PoolPlan['remove'] {
  const booting = outdated.filter((member) => !member.isReady);
  const ready = outdated.filter((member) => member.isReady).sort((a, b) => a.createdAtUnixMs - b.createdAtUnixMs);
  return [...booting, ...ready.slice(0, Math.max(0, readyToSpare))].map(({ uid }) => ({
    uid,
    reason: 'Outdated' as const,
    message: 'made from an older template',
  }));
}

/** The label selector of a pool's standby pods, as text: for `status.selector` and the scale subresource. */
export function standbySelector(poolName: string): string {
  return `${LABEL_POOL}=${poolName},${LABEL_STATE}=standby,!${LABEL_CLAIM}`;
}
