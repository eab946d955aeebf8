import { LABEL_STATE } from '@warmpool/protocol/names.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import {
  KubeError,
  type CallOptions,
  type JsonPatchOperation,
  type KubeClient,
  type KubeObject,
  type Resource,
  type WatchEvent,
  type WatchOptions,
} from '@warmpool/operator/engine/kube-client.ts';
import type { Actor } from './actor.ts';
import { DelayedStream } from './delayed-stream.ts';
import type { Faults } from './faults.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import type { ReplicaGate } from './replica-gate.ts';
import type { Sabotage } from './sabotage.ts';
import { callOverWire, type Fate } from './wire.ts';

export interface KubeLinkDeps {
  clock: Clock;
  random: Prng;
  gate: ReplicaGate;
  faults: Faults;
  server: KubeClient;
  actor: Actor;
  profile: Profile;
  /** The process dies at once; what it has sent may still arrive. */
  crash(reason: string): void;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const SLOW_MS = 5_500;

/** One replica's connection to the apiserver, with everything that goes wrong on such a connection. */
export class KubeLink implements KubeClient {
  readonly #deps: KubeLinkDeps;
  readonly #name: string;
  readonly #sabotage: Sabotage;
  readonly #streams = new Set<DelayedStream<WatchEvent<KubeObject>>>();

  constructor(deps: KubeLinkDeps, name: string, sabotage: Sabotage) {
    this.#deps = deps;
    this.#name = name;
    this.#sabotage = sabotage;
  }

  get: KubeClient['get'] = (resource, namespace, name, options) =>
    this.#call('read', options, () => this.#deps.server.get(resource, namespace, name));

  list: KubeClient['list'] = (resource, namespace, options) =>
    this.#call('read', options, () => this.#deps.server.list(resource, namespace, withoutSignal(options)));

  create: KubeClient['create'] = (resource, namespace, object, options) =>
    this.#call('write', options, () => this.#deps.server.create(resource, namespace, object));

  patch: KubeClient['patch'] = (resource, namespace, name, patch, options) =>
    this.#call('write', options, () => this.#deps.server.patch(resource, namespace, name, this.#sabotaged(patch)));

  patchStatus: KubeClient['patchStatus'] = (resource, namespace, name, patch, options) =>
    this.#call('write', options, () => this.#deps.server.patchStatus(resource, namespace, name, patch));

  patchResize: KubeClient['patchResize'] = (namespace, name, patch, options) =>
    this.#call('write', options, () => this.#deps.server.patchResize(namespace, name, patch));

  delete: KubeClient['delete'] = (resource, namespace, name, options) =>
    this.#call('write', options, async () => {
      if (this.#sabotage.forgetsDeletions === true && resource.plural === 'pods') return;
      await this.#deps.server.delete(resource, namespace, name, withoutSignal(options));
    });

  watch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    options: WatchOptions,
  ): AsyncIterable<WatchEvent<T>> {
    const { clock, gate, random, faults, server, profile } = this.#deps;
    const source = new AbortController();
    const stream: DelayedStream<WatchEvent<KubeObject>> = new DelayedStream(
      {
        clock,
        gate,
        lagMs: () =>
          faults.chance(profile.watch.staleChance)
            ? random.next() * profile.watch.staleMs
            : random.next() * profile.watch.lagMs,
        abortError,
        onClosed: () => {
          this.#streams.delete(stream);
          source.abort();
        },
      },
      options.signal,
    );
    this.#streams.add(stream);
    const events = server.watch<KubeObject>(resource, namespace, { ...options, signal: source.signal });
    void this.#pump(events, stream, resource);
    return stream as AsyncIterable<WatchEvent<T>>;
  }

  /** Breaks or silences one of the open watches. */
  trouble(): void {
    const { random } = this.#deps;
    if (this.#streams.size === 0) return;
    const stream = random.pick([...this.#streams]);
    if (random.chance(0.5)) stream.break(new KubeError(0, 'Network', 'the connection was reset'));
    else stream.stall(random.pick([2_000, 9_000, 25_000]));
  }

  #isHidden(resource: Resource, event: WatchEvent<KubeObject>): boolean {
    if (this.#sabotage.hidesStandbyPods !== true || resource.plural !== 'pods') return false;
    return event.type !== 'BOOKMARK' && event.object.metadata.labels?.[LABEL_STATE] === 'standby';
  }

  #sabotaged(patch: object | readonly JsonPatchOperation[]): object {
    if (this.#sabotage.stripsTests !== true || !Array.isArray(patch)) return patch;
    return (patch as JsonPatchOperation[]).filter(({ op, path }) => op !== 'test' || path === '/metadata/uid');
  }

  async #pump(
    events: AsyncIterable<WatchEvent<KubeObject>>,
    stream: DelayedStream<WatchEvent<KubeObject>>,
    resource: Resource,
  ): Promise<void> {
    try {
      for await (const event of events) {
        if (!this.#isHidden(resource, event)) stream.push(event);
      }
      stream.end();
    } catch (error) {
      stream.end(error as Error);
    }
  }

  #call<T>(kind: 'read' | 'write', options: CallOptions | undefined, run: () => Promise<T>): Promise<T> {
    const { clock, gate, random, faults, profile } = this.#deps;
    const { kube } = profile;
    const isWrite = kind === 'write';
    return callOverWire(
      { clock, random, gate },
      {
        fate: this.#fate(isWrite),
        latencyMs: faults.chance(kube.slowChance) ? SLOW_MS : kube.latencyMs,
        timeoutMs: options?.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        signal: options?.signal,
        run: () => {
          if (isWrite && faults.chance(kube.crashOnWriteChance)) this.#deps.crash('just before a write');
          if (gate.isDead && isWrite && random.chance(0.7)) return new Promise<T>(() => undefined);
          const result = this.#deps.actor.as(this.#name, run);
          if (isWrite && faults.chance(kube.crashOnWriteChance)) this.#deps.crash('just after a write');
          return result;
        },
        timeoutError: () => new KubeError(0, 'Timeout', 'no answer in time'),
        abortError,
      },
    );
  }

  #fate(isWrite: boolean): Fate {
    const { faults, random, profile } = this.#deps;
    const { kube } = profile;
    if (faults.chance(kube.refusedChance)) return { kind: 'refused', error: random.pick(REFUSALS)() };
    if (faults.chance(kube.lostRequestChance)) return { kind: 'lost-request' };
    if (isWrite && faults.chance(kube.lostReplyChance))
      return { kind: 'lost-reply', error: random.pick(LOST_REPLIES)() };
    return { kind: 'ok' };
  }
}

const REFUSALS = [
  () => new KubeError(429, 'TooManyRequests', 'too many requests', 1),
  () => new KubeError(500, 'InternalError', 'the leader of etcd changed'),
  () => new KubeError(0, 'Network', 'connection refused'),
];
const LOST_REPLIES = [
  () => undefined,
  () => new KubeError(0, 'Network', 'the connection was reset'),
  () => new KubeError(500, 'InternalError', 'etcdserver: request timed out'),
  () => new KubeError(504, 'Timeout', 'the server was unable to return a response in time'),
];

function abortError(): Error {
  return new KubeError(0, 'Aborted', 'the call was aborted');
}

/** The other side does not see the caller's signal. */
function withoutSignal<T extends CallOptions>(options: T | undefined): Omit<T, 'signal'> {
  const { signal: _, ...rest } = options ?? ({} as T);
  return rest;
}
