import type { Clock } from './clock.ts';
import type { Metrics } from './metrics.ts';
import { jitteredBackoffMs, type Random } from './random.ts';

export interface WorkQueueDeps {
  clock: Clock;
  random: Random;
  metrics: Metrics;
}

export interface WorkQueueOptions {
  /** Label of its metrics. */
  name: string;
  /** Of the back-off of one key; defaults 5 ms and 60 s. */
  baseDelayMs?: number;
  limitDelayMs?: number;
}

/**
 * Keys to work on, each at most once at a time. A key that is added while it is worked on is worked on once more afterwards, however
 * often it was added, so the last look at a key always comes after its last change.
 */
export class WorkQueue {
  readonly #deps: WorkQueueDeps;
  readonly #labels: { name: string };
  readonly #baseDelayMs: number;
  readonly #limitDelayMs: number;
  /** Waiting and free to be taken, in order, with the time they were added. */
  readonly #ready = new Map<string, number>();
  /** Being worked on, with the time that began. */
  readonly #processing = new Map<string, number>();
  /** Added while being worked on. */
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, { dueMs: number; cancel: () => void }>();
  readonly #failures = new Map<string, number>();
  readonly #readyListeners = new Set<() => void>();
  readonly #idle = Promise.withResolvers<void>();
  #isShutDown = false;

  constructor(deps: WorkQueueDeps, options: WorkQueueOptions) {
    this.#deps = deps;
    this.#labels = { name: options.name };
    this.#baseDelayMs = options.baseDelayMs ?? 5;
    this.#limitDelayMs = options.limitDelayMs ?? 60_000;
    this.#showDepth();
  }

  /** Keys that could be taken now. */
  get depth(): number {
    return this.#ready.size;
  }

  get processing(): number {
    return this.#processing.size;
  }

  /** Keys that wait for their time. */
  get delayed(): number {
    return this.#delayed.size;
  }

  /** Called once for each key that becomes takeable: one `take` each finds them all. */
  onReady(listener: () => void): () => void {
    this.#readyListeners.add(listener);
    return () => void this.#readyListeners.delete(listener);
  }

  add(key: string): void {
    if (this.#isShutDown || this.#ready.has(key) || this.#again.has(key)) return;
    this.#deps.metrics.add('workqueue_adds_total', this.#labels);
    if (this.#processing.has(key)) this.#again.add(key);
    else this.#makeReady(key);
  }

  /** Added at its time; of several times for a key the earliest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return;
    if (delayMs <= 0) return this.add(key);
    const dueMs = this.#deps.clock.monotonic() + delayMs;
    const earlier = this.#delayed.get(key);
    if (earlier && earlier.dueMs <= dueMs) return;
    earlier?.cancel();
    const cancel = this.#deps.clock.after(delayMs, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueMs, cancel });
  }

  /** Added after a delay that doubles with each call since the last `forget`. Returns the delay. */
  addRateLimited(key: string): number {
    const failures = this.failures(key);
    this.#failures.set(key, failures + 1);
    this.#deps.metrics.add('workqueue_retries_total', this.#labels);
    const delayMs = jitteredBackoffMs(failures, this.#baseDelayMs, this.#limitDelayMs, this.#deps.random);
    this.addAfter(key, delayMs);
    return delayMs;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** Calls of `addRateLimited` since the last `forget`. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The key that waited longest, now being worked on until `done`; undefined when none is free. */
  take(): string | undefined {
    const [first] = this.#ready;
    if (!first) return undefined;
    const [key, addedMs] = first;
    const nowMs = this.#deps.clock.monotonic();
    this.#ready.delete(key);
    this.#processing.set(key, nowMs);
    this.#deps.metrics.observe('workqueue_queue_duration_seconds', this.#labels, (nowMs - addedMs) / 1000);
    this.#showDepth();
    return key;
  }

  done(key: string): void {
    const startedMs = this.#processing.get(key);
    if (startedMs === undefined) return;
    this.#processing.delete(key);
    const workedMs = this.#deps.clock.monotonic() - startedMs;
    this.#deps.metrics.observe('workqueue_work_duration_seconds', this.#labels, workedMs / 1000);
    if (this.#again.delete(key)) this.#makeReady(key);
    this.#settleShutdown();
  }

  /**
   * Nothing is accepted any more and delays are dropped. Resolves when nothing is being worked on; with `drain`, also what was
   * waiting is still handed out first.
   */
  shutdown(drain: boolean): Promise<void> {
    this.#isShutDown = true;
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    if (!drain) {
      this.#ready.clear();
      this.#again.clear();
      this.#showDepth();
    }
    this.#settleShutdown();
    return this.#idle.promise;
  }

  #makeReady(key: string): void {
    this.#ready.set(key, this.#deps.clock.monotonic());
    this.#showDepth();
    for (const listener of this.#readyListeners) listener();
  }

  #settleShutdown(): void {
    if (this.#isShutDown && this.#ready.size === 0 && this.#processing.size === 0) this.#idle.resolve();
  }

  #showDepth(): void {
    this.#deps.metrics.set('workqueue_depth', this.#labels, this.#ready.size);
  }
}
