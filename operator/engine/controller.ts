import PQueue from 'p-queue';
import { AbortScope, aborted } from './abort.ts';
import type { Clock } from './clock.ts';
import { isKubeError } from './kube-client.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Random } from './random.ts';
import { WorkQueue } from './work-queue.ts';

export interface ControllerDeps {
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
}

interface ReconcileContext {
  /** Aborts at the deadline, and when a stop has waited long enough. */
  signal: AbortSignal;
}

interface ReconcileResult {
  /** Look at the key again then, though nothing may have changed. */
  requeueAfterMs?: number | undefined;
}

export interface ControllerOptions {
  name: string;
  /** Makes the world match what the key asks for. Idempotent: it is called again after any change and any failure. */
  reconcile: (key: string, context: ReconcileContext) => Promise<ReconcileResult>;
  /** Keys at once; default 1. One key is never worked on twice at once. */
  concurrency?: number;
  /** Default 60 s. */
  reconcileTimeoutMs?: number;
  /** How long a stop lets running reconciles finish before their signal aborts; default 10 s. */
  drainMs?: number;
}

/** Trying again cannot help until the object changes. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

/** Runs one reconcile function over a queue of keys, and tries again what failed. */
export class Controller {
  readonly #deps: ControllerDeps;
  readonly #options: Required<ControllerOptions>;
  readonly #queue: WorkQueue;
  readonly #executor: PQueue;
  readonly #drain = new AbortScope();
  readonly #labels: { controller: string };
  #activeWorkers = 0;

  constructor(deps: ControllerDeps, options: ControllerOptions) {
    this.#deps = deps;
    this.#options = { concurrency: 1, reconcileTimeoutMs: 60_000, drainMs: 10_000, ...options };
    this.#labels = { controller: options.name };
    this.#queue = new WorkQueue(deps, { name: options.name });
    this.#executor = new PQueue({ concurrency: this.#options.concurrency, autoStart: false });
    this.#queue.onReady(() => this.#schedule());
    deps.metrics.set('controller_runtime_max_concurrent_reconciles', this.#labels, this.#options.concurrency);
    deps.metrics.set('controller_runtime_active_workers', this.#labels, 0);
  }

  /** Also before `run`: the key then waits for it. */
  enqueue(key: string): void {
    this.#queue.add(key);
  }

  enqueueAfter(key: string, delayMs: number): void {
    this.#queue.addAfter(key, delayMs);
  }

  /** Keys waiting, being worked on, and waiting for their time. */
  get pending(): { ready: number; running: number; delayed: number } {
    return { ready: this.#queue.depth, running: this.#queue.processing, delayed: this.#queue.delayed };
  }

  /** Works until the signal aborts, then resolves when the last running reconcile has ended. Runs once in its life. */
  async run(signal: AbortSignal): Promise<void> {
    this.#executor.start();
    await aborted(signal);
    this.#executor.pause();
    this.#executor.clear();
    this.#drain.abortAfter(this.#deps.clock, this.#options.drainMs, () => new Error('the controller is stopping'));
    await this.#queue.shutdown(false);
    this.#drain.end();
  }

  #schedule(): void {
    this.#executor
      .add(() => this.#workOnce())
      .catch((error: unknown) => this.#deps.log.error({ ...this.#labels, err: error }, 'the controller itself failed'));
  }

  async #workOnce(): Promise<void> {
    const { clock, metrics } = this.#deps;
    // Keys come from store listeners; the work must not begin inside one, before the others have been told.
    await Promise.resolve();
    const key = this.#queue.take();
    if (key === undefined) return;
    const startedMs = clock.monotonic();
    metrics.set('controller_runtime_active_workers', this.#labels, ++this.#activeWorkers);
    try {
      const result = await this.#reconcile(key);
      metrics.add('controller_runtime_reconcile_total', { ...this.#labels, result });
    } finally {
      metrics.set('controller_runtime_active_workers', this.#labels, --this.#activeWorkers);
      const seconds = (clock.monotonic() - startedMs) / 1000;
      metrics.observe('controller_runtime_reconcile_time_seconds', this.#labels, seconds);
      this.#queue.done(key);
    }
  }

  async #reconcile(key: string): Promise<'success' | 'requeue_after' | 'error' | 'terminal_error'> {
    const { reconcile, reconcileTimeoutMs } = this.#options;
    using scope = new AbortScope(this.#drain.signal);
    // The deadline only aborts the signal: to go on while the reconcile still runs would be to work on the key twice.
    scope.abortAfter(this.#deps.clock, reconcileTimeoutMs, () => new ReconcileTimeout(key, reconcileTimeoutMs));
    try {
      const { requeueAfterMs } = await reconcile(key, { signal: scope.signal });
      this.#queue.forget(key);
      if (requeueAfterMs === undefined) return 'success';
      this.#queue.addAfter(key, requeueAfterMs);
      return 'requeue_after';
    } catch (error) {
      return this.#handleFailure(key, error);
    }
  }

  #handleFailure(key: string, error: unknown): 'error' | 'terminal_error' {
    const { log, metrics } = this.#deps;
    const fields = { ...this.#labels, key, err: error };
    if (error instanceof TerminalError) {
      this.#queue.forget(key);
      metrics.add('controller_runtime_terminal_reconcile_errors_total', this.#labels);
      log.error(fields, 'reconcile failed for good');
      return 'terminal_error';
    }
    metrics.add('controller_runtime_reconcile_errors_total', this.#labels);
    const retryInMs = Math.round(this.#queue.addRateLimited(key));
    // Somebody else wrote first: the ordinary way to find out that the cache was behind.
    if (isKubeError(error, 409)) log.debug({ ...fields, retryInMs }, 'reconcile met a conflict');
    else log.warn({ ...fields, retryInMs }, 'reconcile failed');
    return 'error';
  }
}

class ReconcileTimeout extends Error {
  constructor(key: string, timeoutMs: number) {
    super(`the reconcile of ${key} was not over after ${timeoutMs} ms`);
  }
}
