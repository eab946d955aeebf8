import { LABEL_SERVING } from '@warmpool/protocol/names.ts';
import { PODS, type Pod } from './core/resources.ts';
import { sleep, type Clock } from './engine/clock.ts';
import type { KubeClient } from './engine/kube-client.ts';
import type { Log } from './engine/log.ts';
import { jitteredBackoffMs, type Random } from './engine/random.ts';

export interface ServingLabelDeps {
  clock: Clock;
  random: Random;
  kube: KubeClient;
  log: Log;
}

const WRITE_TIMEOUT_MS = 2_000;
const RETRY_LIMIT_MS = 5_000;
/** A leader that cannot say so for this long is found by clients that ask every replica; the next leader says it anew. */
const ATTEMPTS = 20;

/**
 * Which replica serves claims, as a label of its pod: the Service selects by it. Ready means something else, that a replica could
 * take over at once, so that rollouts and disruption budgets count right.
 */
export class ServingLabel {
  readonly #deps: ServingLabelDeps;
  readonly #pod: { namespace: string; name: string };
  readonly #signal: AbortSignal;
  #wanted = false;
  #writing: Promise<void> = Promise.resolve();

  /** After the signal has aborted, nothing is written. */
  constructor(deps: ServingLabelDeps, pod: { namespace: string; name: string }, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#pod = pod;
  }

  /** Resolves when it is written or given up. Never rejects. */
  set(isServing: boolean): Promise<void> {
    this.#wanted = isServing;
    return (this.#writing = this.#writing.then(() => this.#write(isServing)));
  }

  async #write(isServing: boolean): Promise<void> {
    const { clock, random, log } = this.#deps;
    for (let attempt = 0; attempt < ATTEMPTS && this.#wanted === isServing && !this.#signal.aborted; attempt++) {
      try {
        await this.#label(this.#pod.name, isServing);
        if (isServing) await this.#unlabelOthers();
        return;
      } catch (error) {
        log.warn({ err: error, pod: this.#pod.name, isServing }, 'the pod could not be labelled');
        await sleep(clock, jitteredBackoffMs(attempt, 200, RETRY_LIMIT_MS, random), this.#signal).catch(
          () => undefined,
        );
      }
    }
  }

  async #label(name: string, isServing: boolean): Promise<void> {
    const labels = { [LABEL_SERVING]: isServing ? 'true' : null };
    await this.#deps.kube.patch<Pod>(
      PODS,
      this.#pod.namespace,
      name,
      { metadata: { labels } },
      { timeoutMs: WRITE_TIMEOUT_MS },
    );
  }

  /** One that was cut off could not take its label away. */
  async #unlabelOthers(): Promise<void> {
    const options = { labelSelector: `${LABEL_SERVING}=true`, timeoutMs: WRITE_TIMEOUT_MS };
    const { items } = await this.#deps.kube.list<Pod>(PODS, this.#pod.namespace, options);
    const others = items.filter(({ metadata }) => metadata.name !== this.#pod.name);
    await Promise.all(others.map(({ metadata }) => this.#label(metadata.name, false)));
  }
}
