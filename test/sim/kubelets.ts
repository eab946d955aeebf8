import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { KubeClient } from '@warmpool/operator/engine/kube-client.ts';
import { PODS, type Pod, type PodStatus } from '@warmpool/operator/core/resources.ts';
import type { StoredPod } from '@warmpool/operator/core/pod-view.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import type { Actor } from './actor.ts';
import type { Faults } from './faults.ts';
import type { PodTable } from './pod-table.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import type { RuntimeProcess } from './runtime-process.ts';
import type { Sabotage } from './sabotage.ts';
import type { SimNode } from './sim-node.ts';

export interface KubeletsDeps {
  clock: Clock;
  random: Prng;
  faults: Faults;
  profile: Profile;
  cluster: MemoryCluster;
  pods: PodTable;
  actor: Actor;
  nodes: readonly SimNode[];
  sabotage: Sabotage;
  onBoot(process: RuntimeProcess, node: SimNode): void;
}

const RETRY_MS = 500;

/** The scheduler and each node's kubelet: late, but honest. */
export class Kubelets {
  readonly #deps: KubeletsDeps;
  readonly #client: KubeClient;

  constructor(deps: KubeletsDeps) {
    this.#deps = deps;
    this.#client = deps.cluster.client();
    deps.cluster.onChange(({ resource, object, previous, type }) => {
      if (resource.plural === 'pods') this.#onPod(object as StoredPod, previous as StoredPod | undefined, type);
    });
    for (const node of deps.nodes) {
      node.listen((event) => {
        if (event.type !== 'POD') return;
        const { state, podUid } = event.pod;
        if (state === 'failed' || state === 'terminated') this.#later(node, 300, () => this.#writeFailed(podUid));
      });
    }
  }

  /** A process in some pod ends by itself. */
  killSomeProcess(): void {
    const found = this.#someProcess();
    found?.process.fail('PodLost', 'the process was killed');
  }

  /** Another process takes the place of one, in the same pod. */
  restartSomeContainer(): void {
    const found = this.#someProcess();
    if (found === undefined) return;
    const { node, process } = found;
    const uid = process.podUid;
    process.terminate();
    this.#deps.onBoot(node.boot(uid), node);
    this.#later(node, 1_500, () =>
      this.#writeStatus(uid, (pod) => ({
        ...pod.status,
        containerStatuses: [{ name: 'runtime', restartCount: 1, ready: true }],
      })),
    );
  }

  /** The machine is gone; after a while its pods are removed by force, as the pod garbage collector does. */
  loseNode(node: SimNode, removeAfterMs: number): void {
    const lost = [...this.#deps.pods.all()].filter((pod) => pod.spec.nodeName === node.name);
    node.losePower();
    this.#deps.clock.after(removeAfterMs, () => {
      for (const { metadata } of lost) this.#remove(metadata.namespace ?? '', metadata.name, metadata.uid);
    });
  }

  #someProcess(): { node: SimNode; process: RuntimeProcess } | undefined {
    const all = this.#deps.nodes
      .filter((node) => node.isReachable)
      .flatMap((node) => [...node.processes.values()].map((process) => ({ node, process })))
      .filter(({ process }) => process.isAlive);
    return all.length === 0 ? undefined : this.#deps.random.pick(all);
  }

  #onPod(pod: StoredPod, previous: StoredPod | undefined, type: 'ADDED' | 'MODIFIED' | 'DELETED'): void {
    const { clock, random, profile } = this.#deps;
    const uid = pod.metadata.uid as PodUid;
    const node = this.#deps.nodes.find(({ name }) => name === pod.spec.nodeName);
    if (type === 'ADDED') clock.after(random.next() * 20, () => this.#bind(uid));
    else if (node === undefined) return;
    else if (type === 'DELETED') this.#later(node, 100, () => node.remove(uid));
    else if (previous?.spec.nodeName === undefined) this.#later(node, profile.pods.bootMs, () => this.#boot(node, uid));
    if (type === 'MODIFIED' && node !== undefined && isMarked(pod) && !isMarked(previous))
      this.#later(node, profile.pods.deletionMs, () => this.#end(node, pod));
  }

  #bind(uid: PodUid): void {
    const { nodes, random } = this.#deps;
    const pod = this.#deps.pods.get(uid);
    if (pod === undefined || isMarked(pod)) return;
    const free = nodes.filter((node) => node.isReachable);
    if (free.length === 0) {
      this.#deps.clock.after(RETRY_MS, () => this.#bind(uid));
      return;
    }
    const { namespace = '', name } = pod.metadata;
    this.#write(() => this.#client.patch(PODS, namespace, name, { spec: { nodeName: random.pick(free).name } }));
  }

  #boot(node: SimNode, uid: PodUid): void {
    const { faults, profile } = this.#deps;
    const pod = this.#deps.pods.get(uid);
    if (pod === undefined || isMarked(pod)) return;
    if (faults.chance(profile.pods.neverBootsChance)) return;
    if (faults.chance(profile.pods.failsBootChance)) {
      this.#writeFailed(uid);
      return;
    }
    this.#deps.onBoot(node.boot(uid), node);
    this.#later(node, 200, () =>
      this.#writeStatus(uid, (current) =>
        current.status?.phase === 'Failed'
          ? current.status
          : { ...current.status, phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
      ),
    );
  }

  #end(node: SimNode, pod: StoredPod): void {
    const { namespace = '', name, uid } = pod.metadata;
    node.remove(uid as PodUid);
    this.#later(node, 100, () => this.#remove(namespace, name, uid));
  }

  #remove(namespace: string, name: string, uid: string): void {
    this.#write(() => this.#client.delete(PODS, namespace, name, { uid, gracePeriodSeconds: 0 }));
  }

  #writeFailed(uid: PodUid): void {
    if (this.#deps.sabotage.hidesDeaths === true) return;
    this.#writeStatus(uid, (pod) => ({ ...pod.status, phase: 'Failed', reason: 'Error' }));
  }

  #writeStatus(uid: PodUid, next: (pod: StoredPod) => PodStatus): void {
    const pod = this.#deps.pods.get(uid);
    if (pod === undefined) return;
    const { namespace = '', name } = pod.metadata;
    this.#write(() => this.#client.patchStatus<Pod>(PODS, namespace, name, { status: next(pod) }));
  }

  /** The object may be gone or another one by now: the next change tells. */
  #write(call: () => Promise<unknown>): void {
    this.#deps.actor.as('kubelet', call).catch(() => undefined);
  }

  /** A node that cannot be reached does its part when it is back. */
  #later(node: SimNode, withinMs: number, action: () => void): void {
    const { clock, random } = this.#deps;
    const attempt = (): void => {
      if (node.isReachable) action();
      else clock.after(RETRY_MS, attempt);
    };
    clock.after(random.next() * withinMs, attempt);
  }
}

function isMarked(pod: StoredPod | undefined): boolean {
  return pod?.metadata.deletionTimestamp !== undefined;
}
