import type { Clock } from '../engine/clock.ts';
import type { KubeClient, KubeObject, ListOptions, ListResult, Resource, WatchOptions } from '../engine/kube-client.ts';
import type { Random } from '../engine/random.ts';
import { EventLog } from './event-log.ts';
import { GarbageCollector } from './garbage-collector.ts';
import { parseLabelSelector } from './label-selector.ts';
import { memoryKubeClient } from './memory-kube-client.ts';
import { type Change, VersionedStore, type StoredObject } from './versioned-store.ts';
import { Paging } from './paging.ts';
import { watchStream } from './watch-stream.ts';

export interface MemoryClusterDeps {
  clock: Clock;
  /** Source of uids and generated names. */
  random: Random;
}

export interface MemoryClusterOptions {
  /** How many past events of each kind a late watch can still get. Default 10,000. */
  historyLimit?: number;
  /** Default 60,000: as often as an apiserver. */
  bookmarkIntervalMs?: number;
  /** From an owner's end to its dependents' deletion. Default 10. */
  garbageCollectionDelayMs?: number;
}

/**
 * An apiserver's behaviour in one process: versions, preconditions, watches, graceful deletion, garbage collection. The contract suite
 * holds it to what a real one does. What it gives out is frozen and shared; what it takes in is copied.
 */
export class MemoryCluster {
  readonly #deps: MemoryClusterDeps;
  readonly #historyLimit: number;
  readonly #bookmarkIntervalMs: number;
  readonly #store: VersionedStore;
  readonly #paging: Paging;
  readonly #logs = new Map<string, EventLog>();
  readonly #listeners = new Set<(change: Change) => void>();
  #compactedVersion = 0;

  constructor(deps: MemoryClusterDeps, options: MemoryClusterOptions = {}) {
    this.#deps = deps;
    this.#historyLimit = options.historyLimit ?? 10_000;
    this.#bookmarkIntervalMs = options.bookmarkIntervalMs ?? 60_000;
    this.#paging = new Paging(deps.clock);
    const collector = new GarbageCollector(
      { clock: deps.clock, store: () => this.#store },
      options.garbageCollectionDelayMs ?? 10,
    );
    this.#store = new VersionedStore({
      clock: deps.clock,
      random: deps.random,
      onChange: (change) => {
        this.#logOf(change.resource).append(change);
        collector.observe(change);
        for (const listener of this.#listeners) listener(change);
      },
    });
  }

  client(): KubeClient {
    return memoryKubeClient(this, this.#store);
  }

  /** Counts every write, as etcd does. */
  get version(): number {
    return this.#store.version;
  }

  /** What is stored now, without going through a client: for invariants. */
  snapshot(resource: Resource): readonly StoredObject[] {
    return this.#store.all(resource);
  }

  /** Sees each change inside the write that makes it, in order. The listener must not write. */
  onChange(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets history: older watches and half-read lists get 410. */
  compact(): void {
    this.#compactedVersion = this.#store.version;
    for (const log of this.#logs.values()) log.compact(this.#compactedVersion);
    this.#paging.expireAll();
  }

  list(resource: Resource, namespace: string | undefined, options: ListOptions): ListResult<KubeObject> {
    const hasLabels = parseLabelSelector(options.labelSelector);
    return this.#paging.page(() => {
      const items = this.#store.all(resource).filter(({ metadata }) => {
        return (namespace === undefined || metadata.namespace === namespace) && hasLabels(metadata.labels);
      });
      return { items, resourceVersion: String(this.#store.version) };
    }, options);
  }

  watch(resource: Resource, namespace: string | undefined, options: WatchOptions): ReturnType<typeof watchStream> {
    const kind = {
      clock: this.#deps.clock,
      log: this.#logOf(resource),
      bookmarkIntervalMs: this.#bookmarkIntervalMs,
      version: () => this.#store.version,
      all: () => this.#store.all(resource),
    };
    return watchStream(kind, namespace, options);
  }

  #logOf(resource: Resource): EventLog {
    const id = `${resource.plural}.${resource.group}`;
    let log = this.#logs.get(id);
    if (log === undefined) this.#logs.set(id, (log = new EventLog(this.#historyLimit, this.#compactedVersion)));
    return log;
  }
}
