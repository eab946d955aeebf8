import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LABEL_POOL } from '@warmpool/protocol/names.ts';
import { isClaimed, isStandbyLabelled, isTerminating } from '@warmpool/operator/core/pod-view.ts';
import { PODS, WARM_POOLS, type Pod, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { HttpKubeClient } from '@warmpool/operator/kube/http-kube-client.ts';
import { AdminApi } from '../admin-api.ts';
import { apiserverClient } from '../apiserver-world.ts';
import type { ControlPlaneAccess } from '../control-plane.ts';
import { ClaimClient } from './claim-client.ts';
import { HostAgentStandIn } from './host-agent-stand-in.ts';
import { KubeletStandIn } from './kubelet-stand-in.ts';
import { OperatorProcess } from './operator-process.ts';
import { PodProcesses } from './pod-processes.ts';

const NODE = 'node-1';
const API = '/apis/warmpool.dev/v1alpha1';

export interface WorldOptions {
  loadMs?: number;
  clientConnections?: number;
}

/**
 * A namespace of the real apiserver, one stand-in node that runs its pods, and as many operator processes as a test starts. An operator
 * looks after all namespaces, so what a test leaves behind would be the next one's work: it is removed on both ends.
 */
export class StandInWorld implements AsyncDisposable {
  readonly namespace: string;
  readonly admin: AdminApi;
  readonly kube: KubeClient;
  readonly processes: PodProcesses;
  readonly claims: ClaimClient;
  readonly kubelet: KubeletStandIn;
  readonly #access: ControlPlaneAccess;
  readonly #folder: string;
  readonly #grantKey = randomBytes(32);
  readonly #kube: HttpKubeClient;
  readonly #operators: OperatorProcess[] = [];
  #agent: HostAgentStandIn | undefined;

  private constructor(
    access: ControlPlaneAccess,
    place: { admin: AdminApi; namespace: string; folder: string },
    options: WorldOptions,
  ) {
    this.#access = access;
    this.admin = place.admin;
    this.namespace = place.namespace;
    this.#folder = place.folder;
    this.#kube = apiserverClient(access);
    this.kube = this.#kube;
    this.processes = new PodProcesses({ grantKey: this.#grantKey, loadMs: options.loadMs ?? 2 });
    this.claims = new ClaimClient(options.clientConnections ?? 100);
    this.kubelet = new KubeletStandIn(this.kube, { namespace: this.namespace, node: NODE }, this.processes);
  }

  static async start(access: ControlPlaneAccess | undefined, options: WorldOptions = {}): Promise<StandInWorld> {
    if (access === undefined) throw new Error('no apiserver on this machine');
    const admin = new AdminApi(access);
    const folder = await mkdtemp(join(tmpdir(), 'warmpool-operator-'));
    const world = new StandInWorld(access, { admin, namespace: await admin.newNamespace(), folder }, options);
    await world.#sweep();
    world.#agent = await HostAgentStandIn.start(NODE, world.processes, world.#socketPath);
    await world.kubelet.start();
    return world;
  }

  get #socketPath(): string {
    return join(this.#folder, 'host-agent.sock');
  }

  /** One of several replicas with a Lease when `isReplica`. */
  async startOperator(options: { isReplica?: boolean; drainSeconds?: number } = {}): Promise<OperatorProcess> {
    const operator = await OperatorProcess.start({
      access: this.#access,
      folder: this.#folder,
      name: `operator-${this.#operators.length + 1}`,
      named: { hostAgents: [{ node: NODE, socketPath: this.#socketPath }], grantKey: this.#grantKey },
      ...(options.isReplica === true && { leaseNamespace: this.namespace }),
      ...(options.drainSeconds !== undefined && { drainSeconds: options.drainSeconds }),
    });
    this.#operators.push(operator);
    return operator;
  }

  createPool(pool: WarmPool): Promise<Stored<WarmPool>> {
    return this.kube.create(WARM_POOLS, this.namespace, {
      ...pool,
      metadata: { ...pool.metadata, namespace: this.namespace },
    });
  }

  pool(name: string): Promise<Stored<WarmPool>> {
    return this.kube.get<WarmPool>(WARM_POOLS, this.namespace, name);
  }

  async pods(pool?: string): Promise<Stored<Pod>[]> {
    const labelSelector = pool === undefined ? LABEL_POOL : `${LABEL_POOL}=${pool}`;
    return (await this.kube.list<Pod>(PODS, this.namespace, { labelSelector })).items;
  }

  async standbyPods(pool: string): Promise<Stored<Pod>[]> {
    return (await this.pods(pool)).filter((pod) => isStandbyLabelled(pod) && !isTerminating(pod));
  }

  /** Until the pool says that this many pods are ready and no more exist, and it is so: what it says may be of a moment ago. */
  async untilFull(pool: string, count: number, limitMs = 60_000): Promise<void> {
    await until(`pool ${pool} to have ${count} ready pods`, limitMs, async () => {
      const { metadata, status } = await this.pool(pool);
      if (status === undefined || status.observedGeneration !== metadata.generation) return false;
      if (status.readyReplicas !== count || status.replicas !== count) return false;
      const pods = (await this.pods(pool)).filter((pod) => !isTerminating(pod));
      if (status.claimedReplicas !== pods.filter((pod) => isClaimed(pod)).length) return false;
      const standby = pods.filter((pod) => isStandbyLabelled(pod));
      const booted = new Set<string>(this.processes.reports().map(({ podUid }) => podUid));
      return standby.length === count && standby.every(({ metadata }) => booted.has(metadata.uid));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#operators.filter((operator) => !operator.hasExited).map((operator) => operator.kill9()));
    await this.kubelet[Symbol.asyncDispose]();
    await this.#agent?.[Symbol.asyncDispose]();
    await this.#sweep();
    await this.claims[Symbol.asyncDispose]();
    await this.#kube.close();
    await this.admin[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #sweep(): Promise<void> {
    const podsQuery = `labelSelector=${encodeURIComponent(LABEL_POOL)}`;
    const lists = [`${API}/warmpools`, `${API}/warmpoolclaims`, `/api/v1/pods?${podsQuery}`];
    const answers = await Promise.all(lists.map((path) => this.admin.send('GET', path)));
    const items = answers.flatMap(({ body }) => body['items'] as { metadata: { namespace: string } }[]);
    for (const namespace of new Set(items.map(({ metadata }) => metadata.namespace))) {
      await this.admin.send('DELETE', `${API}/namespaces/${namespace}/warmpools`);
      await this.admin.send('DELETE', `${API}/namespaces/${namespace}/warmpoolclaims`);
      await this.admin.send('DELETE', `/api/v1/namespaces/${namespace}/pods?gracePeriodSeconds=0&${podsQuery}`);
    }
  }
}

/** Polls; fails with what was waited for, and with what `detail` knows. */
export async function until(
  what: string,
  limitMs: number,
  isTrue: () => Promise<boolean> | boolean,
  detail: () => Promise<string> | string = () => '',
  everyMs = 100,
): Promise<void> {
  const deadline = Date.now() + limitMs;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what} ${await detail()}`);
    await delay(everyMs);
  }
}
