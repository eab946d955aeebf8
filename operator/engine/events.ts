import type { Clock } from './clock.ts';
import type { KubeClient, KubeObject, Resource } from './kube-client.ts';
import { keyOf } from './store.ts';
import { microTime } from './kube-time.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Random } from './random.ts';

export interface EventRecorderDeps {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
}

export interface EventRecorderOptions {
  /** Who reports, for example `warmpool-operator`, and which of its processes. */
  controller: string;
  instance: string;
  /** The same thing about the same object is written once in this time; default 10 min. */
  repeatMs?: number;
  /** Events at once, and how many come back a second; defaults 25 and 1. */
  burst?: number;
  perSecond?: number;
}

export interface EventNote {
  type: 'Normal' | 'Warning';
  /** PascalCase, from a closed list: people search for it. */
  reason: string;
  /** What was being done, PascalCase. */
  action: string;
  message: string;
}

/** What an event is about. */
export interface Regarding {
  resource: Resource;
  object: KubeObject;
}

export const EVENTS_RESOURCE: Resource = { group: 'events.k8s.io', version: 'v1', plural: 'events', kind: 'Event' };
/** Different events remembered, to know a repetition; the oldest is forgotten first. */
const REMEMBERED_LIMIT = 4096;
const NOTE_LIMIT_BYTES = 1024;
const WRITE_TIMEOUT_MS = 10_000;

/** Writes Kubernetes events for people to find with `kubectl describe`. They are a courtesy: never waited for, never an error. */
export class EventRecorder {
  readonly #deps: EventRecorderDeps;
  readonly #options: Required<EventRecorderOptions>;
  readonly #remembered = new Map<string, { atMs: number; repeats: number }>();
  readonly #writes = new Set<Promise<void>>();
  #tokens: number;
  #refilledAtMs: number;
  #dropped = 0;

  constructor(deps: EventRecorderDeps, options: EventRecorderOptions) {
    this.#deps = deps;
    this.#options = { repeatMs: 600_000, burst: 25, perSecond: 1, ...options };
    this.#tokens = this.#options.burst;
    this.#refilledAtMs = deps.clock.monotonic();
  }

  /** Events that were not written, repetitions not counted. */
  get dropped(): number {
    return this.#dropped;
  }

  record(regarding: Regarding, note: EventNote): void {
    const { namespace, name, uid } = regarding.object.metadata;
    const identity = JSON.stringify([
      regarding.resource.kind,
      keyOf(namespace, name),
      uid,
      note.type,
      note.reason,
      note.message,
    ]);
    const nowMs = this.#deps.clock.monotonic();
    const last = this.#remembered.get(identity);
    if (last && nowMs - last.atMs < this.#options.repeatMs) {
      last.repeats++;
      return;
    }
    if (!this.#takeToken(nowMs)) return this.#drop('rate_limited');
    this.#remember(identity, nowMs);
    const write = this.#write(regarding, note, last?.repeats ?? 0).finally(() => this.#writes.delete(write));
    this.#writes.add(write);
  }

  /** Resolves when no write is under way. */
  async idle(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes);
  }

  async #write({ resource, object }: Regarding, note: EventNote, repeats: number): Promise<void> {
    const { client, clock, random, log } = this.#deps;
    const { name, uid, namespace = 'default' } = object.metadata;
    const suffix = `${clock.now().toString(36)}${Math.floor(random() * 36 ** 6).toString(36)}`;
    const time = microTime(clock.now());
    try {
      await client.create(
        EVENTS_RESOURCE,
        namespace,
        {
          apiVersion: 'events.k8s.io/v1',
          kind: 'Event',
          metadata: { name: `${name.slice(0, 200)}.${suffix}`, namespace },
          eventTime: time,
          reportingController: this.#options.controller,
          reportingInstance: this.#options.instance.slice(0, 128),
          regarding: {
            apiVersion: resource.group === '' ? resource.version : `${resource.group}/${resource.version}`,
            kind: resource.kind,
            namespace,
            name,
            ...(uid !== undefined && { uid }),
          },
          type: note.type,
          reason: note.reason.slice(0, 128),
          action: note.action.slice(0, 128),
          note: shorten(repeats > 0 ? `${note.message} (${repeats} more times before)` : note.message),
        },
        { timeoutMs: WRITE_TIMEOUT_MS },
      );
    } catch (error) {
      this.#drop('failed');
      log.debug({ err: error, reason: note.reason }, 'an event was not written');
    }
  }

  #drop(cause: 'rate_limited' | 'failed'): void {
    this.#dropped++;
    this.#deps.metrics.add('warmpool_events_dropped_total', { cause });
  }

  #takeToken(nowMs: number): boolean {
    const { burst, perSecond } = this.#options;
    const refill = ((nowMs - this.#refilledAtMs) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + refill);
    this.#refilledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  #remember(identity: string, nowMs: number): void {
    this.#remembered.delete(identity);
    this.#remembered.set(identity, { atMs: nowMs, repeats: 0 });
    if (this.#remembered.size <= REMEMBERED_LIMIT) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }
}

/** The apiserver counts bytes; a character cut in two becomes a replacement character of three. */
function shorten(note: string): string {
  const bytes = Buffer.from(note);
  return bytes.length <= NOTE_LIMIT_BYTES ? note : `${bytes.subarray(0, NOTE_LIMIT_BYTES - 6).toString()}…`;
}
