import { abortable, AbortScope } from './abort.ts';
import { sleep, type Clock } from './clock.ts';
import { isKubeError, KubeError, type KubeClient, type KubeObject, type Resource } from './kube-client.ts';
import { listAll } from './list-pages.ts';
import { jitteredBackoffMs, type Random } from './random.ts';
import type { ObjectStore } from './store.ts';

export interface ReflectorDeps<T extends KubeObject> {
  client: KubeClient;
  clock: Clock;
  random: Random;
  store: ObjectStore<T>;
  report: (event: ReflectorReport) => void;
}

export type ReflectorReport =
  | { type: 'listed'; items: number; durationMs: number }
  /** What failed, and how long until the next attempt. */
  | { type: 'failed'; during: 'list' | 'watch'; error: Error; retryInMs: number }
  /** Neither event nor bookmark for this long: the connection is taken for dead. */
  | { type: 'stalled'; silentMs: number };

export interface ReflectorOptions {
  resource: Resource;
  /** Undefined: all namespaces. */
  namespace?: string;
  labelSelector?: string;
  pageSize?: number;
  /** The apiserver sends a bookmark about every minute; default 90 s. */
  stallMs?: number;
}

const BACKOFF_BASE_MS = 800;
const BACKOFF_LIMIT_MS = 30_000;
/** How long a server may ask us to stay away. */
const RETRY_AFTER_LIMIT_MS = 60_000;
/** The server ends a watch by itself between these; spread, so that many watches do not come back at once. */
const WATCH_SECONDS = { min: 300, max: 600 };
const WATCH_GRACE_MS = 5_000;
/** A watch that ends sooner without having shown anything is a failure, else the loop would spin. */
const SHORTEST_WATCH_MS = 1_000;
/** Silent watches in a row until a list has to prove that the server is there and that nothing was missed. */
const STALLS_UNTIL_RELIST = 2;

/** Keeps a store equal to what the apiserver holds: list, then watch, for as long as it runs, whatever breaks. */
export class Reflector<T extends KubeObject> {
  readonly #deps: ReflectorDeps<T>;
  readonly #options: ReflectorOptions & { pageSize: number; stallMs: number };
  readonly #synced = Promise.withResolvers<void>();
  #hasSynced = false;
  #isRunning = false;
  #lastContactUnixMs = 0;
  /** Failures since a watch last worked; a list alone does not reset it, for the watch after it may be what fails. */
  #attempt = 0;
  #wasTooOld = false;
  #stallsInARow = 0;
  /** Where the next watch starts; undefined: list first. */
  #version: string | undefined;
  /** Of whatever list, watch or pause is under way. */
  #step: AbortScope | undefined;

  constructor(deps: ReflectorDeps<T>, options: ReflectorOptions) {
    this.#deps = deps;
    this.#options = { pageSize: 500, stallMs: 90_000, ...options };
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** When the server was last heard of; 0 before the first answer. */
  lastContactUnixMs(): number {
    return this.#lastContactUnixMs;
  }

  /** Rejects with the signal's reason, or with a `Timeout` KubeError. */
  async waitForSync(signal: AbortSignal, timeoutMs: number): Promise<void> {
    using scope = new AbortScope(signal);
    scope.abortAfter(this.#deps.clock, timeoutMs, () =>
      reflectorTimeout(`${this.#options.resource.plural} were not listed within ${timeoutMs} ms`),
    );
    await abortable(this.#synced.promise, scope.signal);
  }

  /** Drops what is under way and lists again; for when the store is known to be wrong. */
  relist(): void {
    this.#version = undefined;
    this.#step?.abort(new Error('a new list was asked for'));
  }

  /** Resolves once the signal has aborted and nothing is under way. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#isRunning) throw new Error(`the reflector of ${this.#options.resource.plural} is already running`);
    this.#isRunning = true;
    while (!signal.aborted) {
      using step = new AbortScope(signal);
      this.#step = step;
      const during = this.#version === undefined ? 'list' : 'watch';
      try {
        if (this.#version === undefined) await this.#list(step);
        else await this.#watch(this.#version, step);
      } catch (error) {
        if (signal.aborted) break;
        await this.#recover(during, toError(error), step);
      }
    }
    this.#step = undefined;
    this.#isRunning = false;
  }

  async #list(step: AbortScope): Promise<void> {
    const { client, clock, store, report } = this.#deps;
    const startedMs = clock.monotonic();
    const { items, resourceVersion } = await abortable(listAll<T>(client, this.#options, step.signal), step.signal);
    // Before the listeners run: one of them may ask for a new list.
    this.#version = resourceVersion;
    this.#stallsInARow = 0;
    this.#lastContactUnixMs = clock.now();
    store.replaceAll(items);
    this.#hasSynced = true;
    this.#synced.resolve();
    report({ type: 'listed', items: items.length, durationMs: clock.monotonic() - startedMs });
  }

  async #watch(fromVersion: string, step: AbortScope): Promise<void> {
    const { client, clock, random, store } = this.#deps;
    const { resource, namespace, labelSelector } = this.#options;
    const timeoutSeconds = Math.round(WATCH_SECONDS.min + random() * (WATCH_SECONDS.max - WATCH_SECONDS.min));
    const startedMs = clock.monotonic();
    using life = new AbortScope(step.signal);
    life.abortAfter(clock, timeoutSeconds * 1000 + WATCH_GRACE_MS, () =>
      reflectorTimeout('the server did not end the watch in time'),
    );
    using silence = new SilenceTimer(clock, this.#options.stallMs, (silentMs) => life.abort(new Stalled(silentMs)));
    const watch = client.watch<T>(resource, namespace, {
      resourceVersion: fromVersion,
      timeoutSeconds,
      signal: life.signal,
      ...(labelSelector !== undefined && { labelSelector }),
    });
    const events = watch[Symbol.asyncIterator]();
    let heard = false;
    let hasWorked = false;
    try {
      for (;;) {
        const next = await abortable(events.next(), life.signal);
        if (next.done) break;
        heard = true;
        silence.touch();
        this.#stallsInARow = 0;
        this.#lastContactUnixMs = clock.now();
        const event = next.value;
        this.#version = event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion;
        store.apply(event);
      }
    } finally {
      hasWorked = heard || clock.monotonic() - startedMs >= SHORTEST_WATCH_MS;
      if (hasWorked) {
        this.#attempt = 0;
        this.#wasTooOld = false;
      }
      // Not awaited: an iterator that hangs must not hang us. Its signal tells it to let go.
      life.abort(new Error('the watch is over'));
      events.return?.().catch(() => undefined);
    }
    if (!hasWorked) {
      throw new KubeError(0, 'Network', `the server closed the watch of ${resource.plural} at once`);
    }
  }

  async #recover(during: 'list' | 'watch', error: Error, step: AbortScope): Promise<void> {
    const { clock, random, report } = this.#deps;
    // relist() was called: it has said what to do next, and nothing has failed.
    if (step.signal.aborted) return;
    if (error instanceof Stalled) {
      this.#stallsInARow++;
      if (this.#stallsInARow >= STALLS_UNTIL_RELIST) this.#version = undefined;
      report({ type: 'stalled', silentMs: error.silentMs });
      return;
    }
    const isTooOld = during === 'watch' && isKubeError(error, 410);
    if (isTooOld) this.#version = undefined;
    // The first list after an expired version is not a retry of anything, and the server has just shown that it is there; a second in a row is.
    const retryInMs = isTooOld && !this.#wasTooOld ? 0 : this.#retryDelayMs(error, random);
    this.#attempt++;
    this.#wasTooOld = isTooOld;
    report({ type: 'failed', during, error, retryInMs });
    if (retryInMs > 0) await sleep(clock, retryInMs, step.signal).catch(() => undefined);
  }

  #retryDelayMs(error: Error, random: Random): number {
    const askedMs = error instanceof KubeError ? (error.retryAfterSeconds ?? 0) * 1000 : 0;
    return Math.max(
      jitteredBackoffMs(this.#attempt, BACKOFF_BASE_MS, BACKOFF_LIMIT_MS, random),
      Math.min(askedMs, RETRY_AFTER_LIMIT_MS),
    );
  }
}

class Stalled extends Error {
  readonly silentMs: number;
  constructor(silentMs: number) {
    super(`neither event nor bookmark for ${silentMs} ms`);
    this.silentMs = silentMs;
  }
}

/** Calls back once when it was not touched for `limitMs`. One timer however often it is touched. */
class SilenceTimer implements Disposable {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #onSilence: (silentMs: number) => void;
  #touchedMs: number;
  #cancel: () => void;

  constructor(clock: Clock, limitMs: number, onSilence: (silentMs: number) => void) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#onSilence = onSilence;
    this.#touchedMs = clock.monotonic();
    this.#cancel = clock.after(limitMs, () => this.#check());
  }

  touch(): void {
    this.#touchedMs = this.#clock.monotonic();
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #check(): void {
    const silentMs = this.#clock.monotonic() - this.#touchedMs;
    if (silentMs >= this.#limitMs) this.#onSilence(silentMs);
    // a fraction that adds nothing to the time would be waited for again and again
    else this.#cancel = this.#clock.after(Math.ceil(this.#limitMs - silentMs), () => this.#check());
  }
}

function reflectorTimeout(message: string): KubeError {
  return new KubeError(0, 'Timeout', message);
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
