import PQueue from 'p-queue';
import { LABEL_POOL } from '@warmpool/protocol/names.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { isTerminating, type StoredPod } from '@warmpool/operator/core/pod-view.ts';
import { PODS, type Pod } from '@warmpool/operator/core/resources.ts';
import { systemClock } from '@warmpool/operator/engine/clock.ts';
import { isKubeError, type KubeClient, type KubeObject, type Resource } from '@warmpool/operator/engine/kube-client.ts';
import { Reflector } from '@warmpool/operator/engine/reflector.ts';
import { ObjectStore } from '@warmpool/operator/engine/store.ts';
import type { PodProcesses } from './pod-processes.ts';

const BINDINGS: Resource = { group: '', version: 'v1', plural: 'bindings', kind: 'Binding' };
const CALLS_AT_ONCE = 32;

interface Binding extends KubeObject {
  target: { kind: 'Node'; name: string };
}

/** Scheduler and kubelet of one node in one namespace: binds and starts the pods of pools, and ends those that are being deleted. */
export class KubeletStandIn implements AsyncDisposable {
  readonly #kube: KubeClient;
  readonly #namespace: string;
  readonly #node: string;
  readonly #processes: PodProcesses;
  readonly #work = new PQueue({ concurrency: CALLS_AT_ONCE });
  readonly #stop = new AbortController();
  readonly #seen = new Set<string>();
  readonly #failures: unknown[] = [];
  #running: Promise<void> = Promise.resolve();

  constructor(kube: KubeClient, place: { namespace: string; node: string }, processes: PodProcesses) {
    this.#kube = kube;
    this.#namespace = place.namespace;
    this.#node = place.node;
    this.#processes = processes;
  }

  /** What it could not do, apart from pods that were deleted in the meantime. */
  get failures(): readonly unknown[] {
    return this.#failures;
  }

  async start(): Promise<void> {
    const store = new ObjectStore<Pod>({ onError: (error) => this.#failures.push(error) });
    store.onChange((before, after) => this.#onChange(before, after));
    const reflector = new Reflector<Pod>(
      { client: this.#kube, clock: systemClock, random: Math.random, store, report: () => undefined },
      { resource: PODS, namespace: this.#namespace, labelSelector: LABEL_POOL },
    );
    this.#running = reflector.run(this.#stop.signal);
    await reflector.waitForSync(this.#stop.signal, 20_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    this.#work.clear();
    await this.#running;
    await this.#work.onIdle();
  }

  #onChange(before: StoredPod | undefined, after: StoredPod | undefined): void {
    const pod = after ?? before;
    if (pod === undefined) return;
    const uid = pod.metadata.uid as PodUid;
    if (after === undefined) this.#processes.gone(uid);
    else if (isTerminating(after)) this.#once(`end ${uid}`, () => this.#end(after, uid));
    else this.#once(`boot ${uid}`, () => this.#boot(after, uid));
  }

  #once(what: string, action: () => Promise<void>): void {
    if (this.#seen.has(what)) return;
    this.#seen.add(what);
    void this.#work.add(async () => {
      try {
        await action();
      } catch (error) {
        // 404 and 409: the pod is gone or going
        if (!isKubeError(error, 404) && !isKubeError(error, 409)) this.#failures.push(error);
      }
    });
  }

  async #boot(pod: StoredPod, uid: PodUid): Promise<void> {
    const { name } = pod.metadata;
    const target = { kind: 'Node' as const, name: this.#node };
    if (pod.spec.nodeName === undefined)
      await this.#kube.create<Binding>(BINDINGS, this.#namespace, { metadata: { name, uid }, target });
    await this.#kube.patchStatus(PODS, this.#namespace, name, {
      metadata: { uid },
      status: { phase: 'Running', podIP: '127.0.0.1' },
    });
    this.#processes.boot(uid);
  }

  async #end(pod: StoredPod, uid: PodUid): Promise<void> {
    this.#processes.gone(uid);
    await this.#kube.delete(PODS, this.#namespace, pod.metadata.name, { uid, gracePeriodSeconds: 0 });
  }
}
