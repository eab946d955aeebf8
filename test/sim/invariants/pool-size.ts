import { isFinished, isOwnedBy, isStandbyLabelled, isTerminating } from '@warmpool/operator/core/pod-view.ts';
import { WARM_POOLS, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { WorldView } from './world-view.ts';

/** I6: never more standby pods than a pool asked for at any time since it last had what it asked for. */
export class PoolSize {
  readonly #view: WorldView;
  /** By uid of the pool: the targets in force since then. */
  readonly #targets = new Map<string, Set<number>>();

  constructor(view: WorldView) {
    this.#view = view;
  }

  onChange(): void {
    for (const pool of this.#view.cluster.snapshot(WARM_POOLS) as readonly Stored<WarmPool>[]) this.#check(pool);
  }

  #check(pool: Stored<WarmPool>): void {
    const { uid, name } = pool.metadata;
    const { replicas, rollout } = pool.spec;
    const targets = this.#targets.get(uid) ?? new Set();
    targets.add(replicas);
    this.#targets.set(uid, targets);
    let count = 0;
    for (const pod of this.#view.pods.all())
      if (isStandbyLabelled(pod) && isOwnedBy(pod, pool) && !isTerminating(pod) && !isFinished(pod)) count++;
    const limit = Math.max(...targets) + rollout.maxSurge;
    if (count > limit)
      this.#view.violate('I6', `pool ${name} has ${count} standby pods, and at most ${limit} were ever wanted`);
    const isSeen = pool.status?.observedGeneration === pool.metadata.generation;
    if (count === replicas && isSeen) this.#targets.set(uid, new Set([replicas]));
  }
}
