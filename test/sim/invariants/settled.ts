import { isClaimed, isOwnedBy, isStandbyLabelled, isTerminating, poolKeyOf } from '@warmpool/operator/core/pod-view.ts';
import { WARM_POOLS, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { Operator } from '@warmpool/operator/operator.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { WorldView } from './world-view.ts';

/** What is not yet as it should be, in words; empty when the world has come to rest. */
export function unsettled(view: WorldView): string[] {
  const leaders = view.replicas.flatMap(({ operator }) => (operator?.isServing === true ? [operator] : []));
  const [leader] = leaders;
  if (leader === undefined || leaders.length > 1) return [`${leaders.length} replicas serve`];
  const words: string[] = [];
  for (const [claimId, { outcome }] of view.truth.claims)
    if (outcome === undefined) words.push(`claim ${claimId} is open`);
  const pools = view.cluster.snapshot(WARM_POOLS) as readonly Stored<WarmPool>[];
  for (const pool of pools) words.push(...unsettledPool(view, pool));
  for (const pod of view.pods.all()) {
    const { name, uid } = pod.metadata;
    if (isTerminating(pod)) words.push(`pod ${name} is still being deleted`);
    else if (isClaimed(pod)) {
      const entry = leader.ledger.ofPod(uid as PodUid);
      const isInstance = entry?.claim.state === 'ready' && entry.recovery === undefined;
      if (!isInstance || hasLimitedLife(entry)) words.push(`pod ${name} is claimed and not a lasting instance`);
    } else if (!isStandbyLabelled(pod)) words.push(`pod ${name} is neither standby nor claimed`);
    else if (!pools.some((pool) => isOwnedBy(pod, pool))) words.push(`pod ${name} of ${poolKeyOf(pod)} has no pool`);
  }
  return words;
}

function hasLimitedLife({
  ttlSeconds,
  idleTimeoutSeconds,
}: {
  ttlSeconds: number;
  idleTimeoutSeconds: number;
}): boolean {
  return ttlSeconds > 0 || idleTimeoutSeconds > 0;
}

function unsettledPool(view: WorldView, pool: Stored<WarmPool>): string[] {
  const { name, generation } = pool.metadata;
  const { replicas } = pool.spec;
  const { status } = pool;
  const standby = [...view.pods.all()].filter(
    (pod) =>
      isStandbyLabelled(pod) && isOwnedBy(pod, pool) && view.truth.process(pod.metadata.uid)?.state === 'standby',
  ).length;
  if (standby !== replicas) return [`pool ${name} has ${standby} of ${replicas} standby pods`];
  const isTold =
    status?.observedGeneration === generation && status?.readyReplicas === replicas && status.replicas === replicas;
  return isTold ? [] : [`the status of pool ${name} says ${status?.readyReplicas} of ${status?.replicas} ready`];
}

/** I4: an operator remembers nothing about pods that are gone. */
export function remembered(view: WorldView, operator: Operator): string[] {
  const words: string[] = [];
  for (const entry of operator.ledger.entries())
    if (entry.podUid !== undefined && view.pods.get(entry.podUid) === undefined)
      words.push(`the ledger holds pod ${entry.podUid} for claim ${entry.claimId} (${entry.claim.state})`);
  for (const uid of view.pods.gone() as PodUid[]) {
    const { index } = operator.inventory;
    if (index.isOffered(uid) || index.isReserved(uid) || index.isRetired(uid)) words.push(`the index holds pod ${uid}`);
    if (operator.inventory.wasStandby(uid)) words.push(`the inventory holds the epoch of pod ${uid}`);
    if (operator.retirement.isUnderWay(uid)) words.push(`pod ${uid} is still being retired`);
    if (operator.nodes.report(uid) !== undefined) words.push(`the node view holds pod ${uid}`);
    if (operator.pods.getByUid(uid) !== undefined) words.push(`the cache holds pod ${uid}`);
  }
  return words;
}
