import PQueue from 'p-queue';
import type { Logger } from 'pino';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { KubeClient, ObjectMeta, Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { Random } from '@warmpool/operator/engine/random.ts';
import type { Pod } from '@warmpool/operator/core/resources.ts';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { BootYield } from './boot-yield.ts';
import { planLaunch } from './launch-plan.ts';
import { PodLife } from './pod-life.ts';
import type { PodLifeDeps } from './pod-life.ts';
import { watchPods } from './pod-watch.ts';
import { PodWrites } from './pod-writes.ts';
import { PortAllocator } from './port-allocator.ts';

const DEFAULT_GRACE_SECONDS = 10;

export interface KubeletDeps {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Pick<Logger, 'warn' | 'error'>;
  reaper: PodLifeDeps['reaper'];
  /** What this machine can run: `findRuntimes()`. */
  runtimes: readonly RuntimeDescription[];
}

export interface KubeletOptions {
  nodeName: string;
  podsDir: string;
  /** Where pods listen. */
  host?: string;
  /** The allow-listed part of this goes to pods; nothing else of it does. */
  hostEnv: Readonly<Record<string, string | undefined>>;
  /** Processes that boot at the same time; more only share the same cores. */
  bootConcurrency?: number;
  /** How long one boot stands aside for claims, in all. */
  bootYieldMs?: number;
  /** Grace for pods when the kubelet itself stops. */
  stopGraceMs?: number;
}

/** Answering a claim and its first request take about this long. */
const BOOT_SETTLE_MS = 20;

/**
 * Runs the pods of one node as processes. It is its own scheduler too: a pod without a node is bound to this one, by the same patch
 * of `spec.nodeName` whoever asks, since local mode has no second node.
 */
export class Kubelet {
  readonly #deps: KubeletDeps;
  readonly #options: Required<KubeletOptions>;
  readonly #lifeDeps: PodLifeDeps;
  readonly #lives = new Map<string, PodLife>();
  /** By uid: an event that comes while one of these is under way must not begin it again. */
  readonly #binding = new Set<string>();
  readonly #removing = new Set<string>();
  readonly #stopped = new AbortController();
  #watching: Promise<void> = Promise.resolve();

  constructor(deps: KubeletDeps, options: KubeletOptions) {
    this.#deps = deps;
    this.#options = { host: '127.0.0.1', bootConcurrency: 2, bootYieldMs: 300, stopGraceMs: 1000, ...options };
    this.#lifeDeps = {
      ...deps,
      writes: new PodWrites(deps),
      ports: new PortAllocator(this.#options.host, deps.random),
      boots: new BootYield(deps.clock, this.#options.bootYieldMs, BOOT_SETTLE_MS),
      bootQueue: new PQueue({ concurrency: this.#options.bootConcurrency }),
      stopped: this.#stopped.signal,
    };
  }

  start(): void {
    const observer = {
      onPod: (pod: Stored<Pod>) => this.#onPod(pod),
      onGone: (uid: string) => this.#onGone(uid),
      onList: (uids: ReadonlySet<string>) => {
        for (const uid of this.#lives.keys()) if (!uids.has(uid)) this.#onGone(uid);
      },
    };
    this.#watching = watchPods(this.#deps, observer, this.#stopped.signal);
  }

  /** Claims are in flight: boots stand aside until {@link resume}, each for a bounded time. */
  pause(): void {
    this.#lifeDeps.boots.pause();
  }

  resume(): void {
    this.#lifeDeps.boots.resume();
  }

  /** Ends every pod's process and removes its folder; the objects stay as they are. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#lifeDeps.bootQueue.clear();
    this.resume();
    await this.#watching;
    await Promise.all([...this.#lives.values()].map((life) => life.end(this.#options.stopGraceMs)));
  }

  #onPod(pod: Stored<Pod>): void {
    const { uid, deletionTimestamp } = pod.metadata;
    const { nodeName } = pod.spec;
    if (nodeName !== undefined && nodeName !== this.#options.nodeName) return;
    this.#lives.get(uid)?.update(pod);
    if (deletionTimestamp !== undefined) this.#remove(pod);
    else if (this.#lives.has(uid) || isOver(pod)) return;
    else if (nodeName === undefined) this.#bind(pod);
    else this.#run(pod);
  }

  #bind(pod: Stored<Pod>): void {
    // the event that this makes starts the pod: the answer may come after events that are newer
    this.#once(this.#binding, pod, 'bind a pod to the node', () =>
      this.#lifeDeps.writes.bind(pod, this.#options.nodeName),
    );
  }

  #run(pod: Stored<Pod>): void {
    if (this.#stopped.signal.aborted) return;
    const { podsDir, host, hostEnv } = this.#options;
    const life = new PodLife(this.#lifeDeps, pod, { podsDir, host });
    this.#lives.set(pod.metadata.uid, life);
    const decision = planLaunch(pod, this.#deps.runtimes, hostEnv);
    if ('refusal' in decision) life.refuse(decision.refusal.reason, decision.refusal.message);
    else
      life
        .boot(decision.plan)
        .catch((error: unknown) => this.#stopped.signal.aborted || this.#report(pod, 'boot a pod', error));
  }

  #remove(pod: Stored<Pod>): void {
    const life = this.#lives.get(pod.metadata.uid);
    // before the guard: a second deletion may have shortened the grace
    const ended = life?.end(graceMsOf(pod));
    this.#once(this.#removing, pod, 'take a deleted pod away', async () => {
      await ended;
      await this.#lifeDeps.writes.finishDeletion(pod);
    });
  }

  #onGone(uid: string): void {
    const life = this.#lives.get(uid);
    if (life === undefined) return;
    life
      .end(0)
      .catch((error: unknown) => this.#deps.log.error({ err: error, uid }, 'the folder of a pod could not be removed'))
      .finally(() => this.#lives.delete(uid));
  }

  #once(underWay: Set<string>, pod: Stored<Pod>, what: string, work: () => Promise<void>): void {
    const { uid } = pod.metadata;
    if (underWay.has(uid)) return;
    underWay.add(uid);
    work()
      .catch((error: unknown) => this.#report(pod, what, error))
      .finally(() => underWay.delete(uid));
  }

  #report(pod: Stored<Pod>, what: string, error: unknown): void {
    const { namespace, name } = pod.metadata;
    this.#deps.log.error({ err: error, pod: `${namespace}/${name}` }, `could not ${what}`);
  }
}

function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** What the deletion said, else what the pod's spec says. */
function graceMsOf(pod: Pod): number {
  const metadata: ObjectMeta & { deletionGracePeriodSeconds?: number } = pod.metadata;
  const fromSpec = pod.spec['terminationGracePeriodSeconds'];
  const seconds =
    metadata.deletionGracePeriodSeconds ?? (typeof fromSpec === 'number' ? fromSpec : DEFAULT_GRACE_SECONDS);
  return seconds * 1000;
}
