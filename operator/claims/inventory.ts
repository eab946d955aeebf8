import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { ClaimQueue } from './claim-queue.ts';
import { ClaimQueue as Queue } from './claim-queue.ts';
import type { Clock } from '../engine/clock.ts';
import type { ObjectStore } from '../engine/store.ts';
import { templateHash } from '../core/build-pod.ts';
import type { Pod, WarmPool } from '../core/resources.ts';
import {
  containerTrouble,
  createdAtUnixMs,
  isFinished,
  isOwnedBy,
  isStandbyLabelled,
  isTerminating,
  podTrouble,
  poolKeyOf,
  templateHashOf,
  type StoredPod,
} from '../core/pod-view.ts';
import { isNodeLost } from '../core/stall.ts';
import type { NodeView } from './node-view.ts';
import { RefillMeter } from './refill-meter.ts';
import { StandbyIndex, type Candidate } from './standby-index.ts';

export interface InventoryDeps {
  clock: Clock;
  pods: ObjectStore<Pod>;
  pools: ObjectStore<WarmPool>;
  nodes: NodeView;
}

/**
 * Joins what the apiserver says (this pod is a standby pod of that pool) with what its node says (a process waits in it) into the
 * index that claims pick from, and hands each pod that becomes standby to the claim whose turn it is.
 */
export class Inventory {
  readonly index: StandbyIndex;
  readonly refill = new RefillMeter();
  readonly #deps: InventoryDeps;
  readonly #queues = new Map<string, ClaimQueue<Candidate>>();
  /** The first process seen in each pod. Another one later means that the pod is not what it was. */
  readonly #epochs = new Map<PodUid, string>();
  /** Pods that are not offered: since when. */
  readonly #missingSinceUnixMs = new Map<PodUid, number>();

  constructor(deps: InventoryDeps) {
    this.#deps = deps;
    this.index = new StandbyIndex((uid) => deps.pods.getByUid(uid) !== undefined);
    deps.nodes.onChange((uid) => this.#consider(uid));
    deps.pods.onChange((before, after) => {
      const pod = after ?? before;
      if (pod === undefined) return;
      const uid = pod.metadata.uid as PodUid;
      if (after === undefined) {
        this.index.forget(uid);
        this.#epochs.delete(uid);
        this.#missingSinceUnixMs.delete(uid);
      } else {
        this.#consider(uid);
      }
    });
    deps.pools.onChange((before, after) => {
      const pool = after ?? before;
      if (pool === undefined) return;
      if (after === undefined) this.#closePool(`${pool.metadata.namespace}/${pool.metadata.name}`);
      else
        for (const pod of deps.pods.byIndex('pool', `${pool.metadata.namespace}/${pool.metadata.name}`))
          this.#consider(pod.metadata.uid as PodUid);
    });
  }

  queue(pool: string): ClaimQueue<Candidate> {
    let queue = this.#queues.get(pool);
    if (queue === undefined) this.#queues.set(pool, (queue = new Queue(this.#deps.clock)));
    return queue;
  }

  queuedClaims(pool: string): number {
    return this.#queues.get(pool)?.length ?? 0;
  }

  /** A pod for a claim that need not wait; `undefined` when there is none or others came first. */
  take(pool: string, nodesWithCode: ReadonlySet<string> | undefined): Candidate | undefined {
    if (this.queuedClaims(pool) > 0) return undefined;
    return this.index.reserve(pool, nodesWithCode);
  }

  /** Nothing was written to the pod and nothing was sent to it: the next claim may have it. */
  putBack(candidate: Candidate): void {
    this.release(candidate.uid);
  }

  /** The reservation is over and changed nothing. */
  release(uid: PodUid): void {
    this.index.unreserve(uid);
    this.#consider(uid);
  }

  /** It was standby once, so its boot did not fail. */
  wasStandby(uid: PodUid): boolean {
    return this.#epochs.has(uid);
  }

  /**
   * Since when this pod has had to become standby. A host-agent that is replaced, or an operator that begins, knows of no standby pod for
   * a while: the pods are given the time anew, and not thrown away.
   */
  awaitedSinceUnixMs(pod: StoredPod): number {
    return Math.max(createdAtUnixMs(pod), this.#missingSinceUnixMs.get(pod.metadata.uid as PodUid) ?? 0);
  }

  /** Why this pod can never become a standby pod, in words; `undefined` when it can or is one. */
  trouble(pod: StoredPod): string | undefined {
    if (isFinished(pod)) return podTrouble(pod);
    const broken = containerTrouble(pod);
    if (broken !== undefined) return broken;
    const uid = pod.metadata.uid as PodUid;
    if (this.index.isRetired(uid)) return 'a claim could not use it';
    const report = this.#deps.nodes.currentReport(uid);
    if (report === undefined) return undefined;
    const epoch = this.#epochs.get(uid);
    if (epoch !== undefined && epoch !== report.epoch) return 'its process is not the one that became standby';
    switch (report.state) {
      case 'booting':
      case 'standby':
        return undefined;
      case 'failed':
      case 'terminated':
        return report.lastError?.message ?? `its runtime-agent is ${report.state}`;
      case 'loading':
      case 'ready':
      case 'busy':
      case 'draining':
        return `its runtime-agent is ${report.state} although no claim has it`;
    }
  }

  stop(): void {
    for (const queue of this.#queues.values()) queue.close();
  }

  #consider(uid: PodUid): void {
    const pod = this.#deps.pods.getByUid(uid);
    const candidate = pod === undefined ? undefined : this.#candidate(pod);
    if (pod === undefined || candidate === undefined) {
      if (pod !== undefined && (this.index.isOffered(uid) || !this.#missingSinceUnixMs.has(uid)))
        this.#missingSinceUnixMs.set(uid, this.#deps.clock.now());
      this.index.withdraw(uid);
      return;
    }
    const pool = poolKeyOf(pod);
    if (!this.#epochs.has(uid)) {
      this.#epochs.set(uid, candidate.epoch);
      this.refill.observe(pool, Math.max(0, this.#deps.clock.now() - createdAtUnixMs(pod)));
    }
    if (this.index.offer(pool, candidate)) this.#handOver(pool);
  }

  #candidate(pod: StoredPod): Candidate | undefined {
    if (!isStandbyLabelled(pod) || isTerminating(pod) || isNodeLost(pod) || this.trouble(pod) !== undefined)
      return undefined;
    const pool = this.#deps.pools.getByKey(poolKeyOf(pod));
    if (pool === undefined || isTerminatingPool(pool) || !isOwnedBy(pod, pool)) return undefined;
    const report = this.#deps.nodes.currentReport(pod.metadata.uid as PodUid);
    if (report?.state !== 'standby') return undefined;
    const isUpdated = templateHashOf(pod) === templateHash(pool);
    return { uid: report.podUid, node: report.node, epoch: report.epoch, isUpdated, pod };
  }

  #handOver(pool: string): void {
    const queue = this.#queues.get(pool);
    if (queue === undefined) return;
    while (queue.length > 0) {
      const candidate = this.index.reserve(pool, undefined);
      if (candidate === undefined) return;
      if (!queue.give(candidate)) this.putBack(candidate);
    }
  }

  #closePool(pool: string): void {
    this.#queues.get(pool)?.close();
    this.#queues.delete(pool);
    this.refill.forget(pool);
    for (const pod of this.#deps.pods.byIndex('pool', pool)) this.index.withdraw(pod.metadata.uid as PodUid);
  }
}

function isTerminatingPool(pool: WarmPool): boolean {
  return pool.metadata.deletionTimestamp !== undefined;
}
