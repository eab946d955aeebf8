import { randomBytes } from 'node:crypto';
import { PODS, WARM_POOLS, type Pod, type WarmPool } from '@warmpool/operator/core/resources.ts';
import { VirtualClock } from '@warmpool/operator/engine/testing/fake-clock.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import { silentLog } from '@warmpool/operator/engine/log.ts';
import { noMetrics } from '@warmpool/operator/engine/metrics.ts';
import { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import { Operator } from '@warmpool/operator/operator.ts';
import type { ClaimSample } from '@warmpool/operator/claims/claim-service.ts';
import { FakeNode, type FakeNodeOptions } from './fake-node.ts';

/** One operator, one node, one in-memory cluster, virtual time. */
export class OperatorWorld {
  readonly clock = new VirtualClock();
  readonly cluster: MemoryCluster;
  readonly node: FakeNode;
  readonly kube: KubeClient;
  readonly samples: ClaimSample[] = [];
  operator: Operator;
  /** Stands between the operator and the cluster; a test may replace methods of it. */
  readonly operatorKube: KubeClient;
  #stop = new AbortController();
  #running: Promise<void>;

  private constructor(options: FakeNodeOptions) {
    let seed = 1;
    this.cluster = new MemoryCluster({
      clock: this.clock,
      random: () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647,
    });
    this.kube = this.cluster.client();
    this.operatorKube = Object.assign(Object.create(this.kube) as KubeClient, {});
    this.node = new FakeNode(this.clock, this.cluster, options);
    this.operator = this.#newOperator();
    this.#running = this.operator.run(this.#stop.signal);
  }

  static async start(pools: WarmPool[], options: FakeNodeOptions = {}): Promise<OperatorWorld> {
    const world = new OperatorWorld(options);
    for (const pool of pools) await world.kube.create(WARM_POOLS, 'default', pool);
    await world.clock.runUntil(() => world.operator.isServing, 10_000);
    return world;
  }

  /** The process dies where it is and another one takes its place. */
  async restartOperator(): Promise<void> {
    this.#stop.abort(new Error('the process died'));
    this.#stop = new AbortController();
    this.operator = this.#newOperator();
    this.#running = this.operator.run(this.#stop.signal);
    await this.clock.runUntil(() => this.operator.isServing, 20_000);
  }

  async untilStandby(pool: string, count: number): Promise<void> {
    await this.clock.runUntil(() => this.operator.inventory.index.size(`default/${pool}`) === count, 60_000);
  }

  /** Lets virtual time pass until the promise settles. */
  async run<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    let isSettled = false;
    const settled = promise.finally(() => (isSettled = true));
    settled.catch(() => undefined);
    await this.clock.runUntil(() => isSettled, limitMs);
    return settled;
  }

  pods(): Stored<Pod>[] {
    return this.cluster.snapshot(PODS) as unknown as Stored<Pod>[];
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('the test is over'));
    await this.clock.advance(20_000);
    await this.#running;
  }

  #newOperator(): Operator {
    return new Operator(
      {
        clock: this.clock,
        random: () => 0.5,
        kube: this.operatorKube,
        hostAgents: this.node,
        log: silentLog,
        metrics: noMetrics,
        observeClaim: (sample) => void this.samples.push(sample),
        randomHex: (bytes) => randomBytes(bytes).toString('hex'),
      },
      { identity: 'test', leaseNamespace: undefined, nodes: [this.node.name], grantKey: Buffer.alloc(32, 7) },
    );
  }
}
