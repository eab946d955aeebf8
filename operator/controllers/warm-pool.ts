import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { EventRecorder } from '../engine/events.ts';
import { isKubeError, type Stored } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import { templateHash } from '../core/build-pod.ts';
import { planPool, type Member, type PoolPlan } from '../core/plan-pool.ts';
import {
  createdAtUnixMs,
  isClaimed,
  isOwnedBy,
  isStandbyLabelled,
  isTerminating,
  templateHashOf,
  type StoredPod,
} from '../core/pod-view.ts';
import { retireStandby } from '../core/pod-transitions.ts';
import { poolStatus } from '../core/pool-status.ts';
import { createStall, podStall, type Stall } from '../core/stall.ts';
import { PODS, WARM_POOLS, type Pod, type WarmPool } from '../core/resources.ts';
import { UNKNOWN_WRITE_MS, WRITE_TIMEOUT_MS } from '../core/write-limits.ts';
import type { Inventory } from '../claims/inventory.ts';
import type { Retirement } from '../claims/retirement.ts';
import { BootFailures } from './boot-failures.ts';
import { PodCreation, type PodCreationDeps } from './pod-creation.ts';
import { StatusPace } from './status-pace.ts';
import { ToldStatus } from './told-status.ts';

export interface WarmPoolControllerDeps extends PodCreationDeps {
  pods: ObjectStore<Pod>;
  inventory: Inventory;
  events: EventRecorder;
  retirement: Retirement;
  log: Log;
}

/** Creations of one pool that may be under way at once. */
const CREATE_CONCURRENCY = 16;

/** Keeps each pool at its size: look, plan, act, tell. */
export class WarmPoolController {
  readonly creation: PodCreation;
  readonly #deps: WarmPoolControllerDeps;
  readonly #failures: BootFailures;
  readonly #statusPace: StatusPace;
  readonly #toldStatus = new ToldStatus();
  readonly #createStalls = new Map<string, Stall>();

  constructor(deps: WarmPoolControllerDeps) {
    this.#deps = deps;
    this.creation = new PodCreation(deps);
    this.#failures = new BootFailures();
    this.#statusPace = new StatusPace(deps.clock);
  }

  async reconcile(key: string, signal: AbortSignal): Promise<number | undefined> {
    const { clock, expectations, pools, inventory } = this.#deps;
    const pool = pools.getByKey(key);
    if (pool === undefined || pool.metadata.deletionTimestamp !== undefined) {
      this.#forget(key);
      return undefined;
    }
    const pods = this.#deps.pods.byIndex('pool', key);
    const members = this.#members(pool, pods);
    if (members.some((member) => member.isReady)) this.#failures.succeeded(key);
    const plan = planPool({
      spec: pool.spec,
      members,
      isCacheBehind: !expectations.satisfied(pool.metadata.uid),
      createNotBeforeUnixMs: this.#failures.notBeforeUnixMs(key),
      nowUnixMs: clock.now(),
    });
    const failedBoots = plan.remove.filter(
      ({ uid, reason }) => (reason === 'Stuck' || reason === 'Dead') && !inventory.wasStandby(uid as PodUid),
    );
    const [firstFailure] = failedBoots;
    if (firstFailure !== undefined) this.#failures.failed(key, firstFailure.message, clock.now());
    await this.#remove(pool, key, pods, plan.remove);
    const createError = signal.aborted ? undefined : await this.#create(pool, key, plan.create);
    const tellMs = await this.#tell(pool, key, members, pods);
    if (createError !== undefined) throw createError as Error;
    return soonest(plan.requeueAfterMs, expectations.expiresInMs(pool.metadata.uid), tellMs);
  }

  #members(pool: Stored<WarmPool>, pods: StoredPod[]): Member[] {
    const { index } = this.#deps.inventory;
    const hash = templateHash(pool);
    return pods
      .filter((pod) => isStandbyLabelled(pod) && isOwnedBy(pod, pool) && !isTerminating(pod))
      .map((pod) => {
        const uid = pod.metadata.uid as PodUid;
        return {
          uid,
          isReady: index.isOffered(uid),
          isReserved: index.isReserved(uid),
          isUpdated: templateHashOf(pod) === hash,
          trouble: this.#deps.inventory.trouble(pod),
          stall: index.isOffered(uid) ? undefined : podStall(pod),
          createdAtUnixMs: createdAtUnixMs(pod),
          awaitedSinceUnixMs: this.#deps.inventory.awaitedSinceUnixMs(pod),
        };
      });
  }

  /** By the same conditional write as a claim first: of a claim and a removal, one gets the pod. */
  async #remove(pool: Stored<WarmPool>, key: string, pods: StoredPod[], removals: PoolPlan['remove']): Promise<void> {
    const byUid = new Map(pods.map((pod) => [pod.metadata.uid, pod]));
    await Promise.all(
      removals.map(async ({ uid, reason, message }) => {
        const pod = byUid.get(uid);
        if (pod === undefined || !this.#deps.inventory.index.reserveExactly(uid as PodUid)) return;
        if (reason !== 'ScaleDown') {
          this.#deps.events.record(
            { resource: WARM_POOLS, object: pool },
            {
              type: reason === 'Outdated' ? 'Normal' : 'Warning',
              reason: `${reason}PodRemoved`,
              action: 'Remove',
              message: `a standby pod is replaced: ${message}`,
            },
          );
        }
        this.#deps.log.info({ pool: key, pod: pod.metadata.name, reason, detail: message }, 'removing standby pod');
        await this.#delete(pool.metadata.uid, pod, uid as PodUid);
      }),
    );
  }

  async #delete(poolUid: string, pod: StoredPod, uid: PodUid): Promise<void> {
    const { expectations, inventory, kube } = this.#deps;
    const { namespace = '', name } = pod.metadata;
    expectations.expectDeletion(poolUid, uid);
    try {
      await kube.patch<Pod>(PODS, namespace, name, retireStandby(uid), { timeoutMs: WRITE_TIMEOUT_MS });
      inventory.index.retire(uid);
    } catch (error) {
      if (isKubeError(error) && error.isAmbiguous) {
        // out of reach until the write cannot arrive any more: by then the cache has told, or nothing was written
        this.#deps.clock.after(UNKNOWN_WRITE_MS, () => {
          expectations.deletionObserved(poolUid, uid);
          inventory.release(uid);
        });
        throw error;
      }
      expectations.deletionObserved(poolUid, uid);
      if (isKubeError(error, 404)) inventory.index.retire(uid);
      else inventory.release(uid); // a claim was faster: the cache will tell
      if (![404, 409, 422].some((status) => isKubeError(error, status))) throw error;
      return;
    }
    await this.#deps.retirement.retire(pod, 'the pool removes it');
  }

  /** The error that stopped it, if one did. */
  async #create(pool: Stored<WarmPool>, key: string, count: number): Promise<unknown> {
    if (count === 0) return undefined;
    const { expectations, log } = this.#deps;
    expectations.expectCreations(pool.metadata.uid, count);
    let started = 0;
    let failure: unknown;
    const worker = async (): Promise<void> => {
      while (started < count && failure === undefined) {
        started++;
        failure = (await this.creation.create(pool)) ?? failure;
      }
    };
    await Promise.all(Array.from({ length: Math.min(CREATE_CONCURRENCY, count) }, worker));
    for (; started < count; started++) expectations.creationFailed(pool.metadata.uid);
    if (failure === undefined) {
      this.#createStalls.delete(key);
      return undefined;
    }
    const error = isKubeError(failure) ? failure : { status: 0, message: 'the apiserver client failed' };
    const stall = createStall(error, pool.metadata.namespace ?? '');
    this.#createStalls.set(key, stall);
    // nothing can be written there any more, events included
    if (stall.reason !== 'NamespaceTerminating') this.#record(pool, stall, 'Create');
    log.warn({ pool: key, err: failure }, 'creating a standby pod failed');
    return failure;
  }

  /** When there will be something to tell, if that has to wait. */
  async #tell(seen: Stored<WarmPool>, key: string, members: Member[], pods: StoredPod[]): Promise<number | undefined> {
    const pool = this.#toldStatus.latest(key, seen);
    const stall = this.#stall(key, members);
    if (stall !== undefined && stall !== this.#createStalls.get(key)) this.#record(pool, stall, 'Boot');
    const status = poolStatus({
      pool,
      members: members.filter((member) => member.trouble === undefined),
      claimed: pods.filter((pod) => isClaimed(pod) && !isTerminating(pod)).length,
      trouble: stall,
      nowUnixMs: this.#deps.clock.now(),
    });
    if (status === pool.status) {
      this.#statusPace.settled(key);
      return undefined;
    }
    const holdMs = this.#statusPace.holdMs(key, pool.status, status);
    if (holdMs !== undefined) return holdMs;
    const written = await this.#deps.kube.patchStatus<WarmPool>(
      WARM_POOLS,
      pool.metadata.namespace ?? '',
      pool.metadata.name,
      { status },
      { timeoutMs: WRITE_TIMEOUT_MS },
    );
    this.#toldStatus.told(key, written);
    return undefined;
  }

  /** What stands in the way most: no pods at all, pods that wait for something, pods that die. */
  #stall(key: string, members: Member[]): Stall | undefined {
    const bootFailure = this.#failures.message(key);
    return (
      this.#createStalls.get(key) ??
      members.find(({ stall }) => stall !== undefined)?.stall ??
      (bootFailure === undefined ? undefined : { reason: 'BootFailing', message: bootFailure })
    );
  }

  #record(pool: Stored<WarmPool>, { reason, message }: Stall, action: string): void {
    this.#deps.events.record({ resource: WARM_POOLS, object: pool }, { type: 'Warning', reason, action, message });
  }

  #forget(key: string): void {
    this.#failures.forget(key);
    this.#statusPace.settled(key);
    this.#toldStatus.forget(key);
    this.#createStalls.delete(key);
  }
}

function soonest(...times: (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(1, Math.min(...known));
}
