import { buildStandbyPod } from '../core/build-pod.ts';
import { PODS, type Pod, type WarmPool } from '../core/resources.ts';
import { UNKNOWN_WRITE_MS, WRITE_TIMEOUT_MS } from '../core/write-limits.ts';
import { sleep, type Clock } from '../engine/clock.ts';
import type { Expectations } from '../engine/expectations.ts';
import { isKubeError, type KubeClient, type Stored } from '../engine/kube-client.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';
import { objectKey, type ObjectStore } from '../engine/store.ts';

export interface PodCreationDeps {
  clock: Clock;
  random: Random;
  randomHex: (bytes: number) => string;
  kube: KubeClient;
  pools: ObjectStore<WarmPool>;
  expectations: Expectations;
}

/** With its last calls well before the expectation of the pool runs out: what is learnt then would be taken for another's. */
const SETTLE_LIMIT_MS = 40_000;
/** A pod's name is its host's, and that is a DNS label: 63 characters. */
const MAX_POOL_NAME = 54;
const BACKOFF_BASE_MS = 500;
const BACKOFF_LIMIT_MS = 5_000;

/** What is known of a creation that nobody answered. */
type Fate = { made: string } | 'not made' | 'unknown';

/**
 * Makes standby pods under names of our own. A creation that was not answered is sent again under the same name: of the two at most one
 * makes a pod, whichever arrives first, so the pool need not stand still until the cache can be trusted again.
 */
export class PodCreation {
  /** Told the pool's key when it has become known what came of a creation. */
  onSettled: (poolKey: string) => void = () => {};
  readonly #deps: PodCreationDeps;

  constructor(deps: PodCreationDeps) {
    this.#deps = deps;
  }

  /** One of those that `expectCreations` announced. Resolves with the error, if there was one; what came of it may be found out later. */
  async create(pool: Stored<WarmPool>): Promise<unknown> {
    const { expectations, randomHex } = this.#deps;
    const pod = buildStandbyPod(pool, `${pool.metadata.name.slice(0, MAX_POOL_NAME)}-${randomHex(4)}`);
    try {
      expectations.creationReturned(pool.metadata.uid, await this.#send(pool, pod));
      return undefined;
    } catch (error) {
      if (isKubeError(error) && error.isAmbiguous) void this.#settle(pool, pod);
      else expectations.creationFailed(pool.metadata.uid);
      return error;
    }
  }

  /** Never rejects. */
  async #settle(pool: Stored<WarmPool>, pod: Pod): Promise<void> {
    const { expectations } = this.#deps;
    const fate = await this.#fateOf(pool, pod);
    if (fate === 'unknown') expectations.creationUnknown(pool.metadata.uid);
    else if (fate === 'not made') expectations.creationFailed(pool.metadata.uid);
    else expectations.creationReturned(pool.metadata.uid, fate.made);
    this.onSettled(objectKey(pool));
  }

  async #fateOf(pool: Stored<WarmPool>, pod: Pod): Promise<Fate> {
    const { clock, random } = this.#deps;
    const sentMs = clock.monotonic();
    for (let attempt = 0, elapsedMs = 0; elapsedMs < SETTLE_LIMIT_MS; attempt++) {
      await sleep(clock, jitteredBackoffMs(attempt, BACKOFF_BASE_MS, BACKOFF_LIMIT_MS, random));
      const fate = this.#isWanted(pool) ? await this.#sendAgain(pool, pod) : await this.#look(pool, pod);
      elapsedMs = clock.monotonic() - sentMs;
      if (typeof fate === 'object' || (fate === 'not made' && elapsedMs >= UNKNOWN_WRITE_MS)) return fate;
    }
    return 'unknown';
  }

  async #sendAgain(pool: Stored<WarmPool>, pod: Pod): Promise<Fate> {
    try {
      return { made: await this.#send(pool, pod) };
    } catch (error) {
      if (!isKubeError(error) || error.isAmbiguous) return 'unknown';
      // the name is taken, or this one was refused and the first one perhaps was not
      return this.#look(pool, pod);
    }
  }

  async #look(pool: Stored<WarmPool>, pod: Pod): Promise<Fate> {
    try {
      const { namespace = '' } = pool.metadata;
      const found = await this.#deps.kube.get<Pod>(PODS, namespace, pod.metadata.name, { timeoutMs: WRITE_TIMEOUT_MS });
      return { made: found.metadata.uid };
    } catch (error) {
      return isKubeError(error, 404) ? 'not made' : 'unknown';
    }
  }

  async #send(pool: Stored<WarmPool>, pod: Pod): Promise<string> {
    const { namespace = '' } = pool.metadata;
    const made = await this.#deps.kube.create<Pod>(PODS, namespace, pod, { timeoutMs: WRITE_TIMEOUT_MS });
    return made.metadata.uid;
  }

  /** A pool that is gone or has changed since may want no pod, or another one. */
  #isWanted({ metadata }: Stored<WarmPool>): boolean {
    const now = this.#deps.pools.get(metadata.namespace ?? '', metadata.name)?.metadata;
    return now?.uid === metadata.uid && now.generation === metadata.generation && now.deletionTimestamp === undefined;
  }
}
