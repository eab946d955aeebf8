import type { KubeClient } from '@warmpool/operator/engine/kube-client.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { PODS, WARM_POOLS, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import { warmPoolSpecSchema } from '@warmpool/protocol/warm-pool.ts';
import type { Actor } from './actor.ts';
import type { Prng } from './prng.ts';
import type { Trace } from './trace.ts';

export const NAMESPACE = 'apps';

/** People with kubectl: pools made, scaled, changed, deleted and made again, pods deleted. */
export class People {
  readonly #deps: { clock: Clock; random: Prng; cluster: MemoryCluster; actor: Actor; trace: Trace };
  readonly #client: KubeClient;
  readonly pools: readonly string[];

  constructor(
    deps: { clock: Clock; random: Prng; cluster: MemoryCluster; actor: Actor; trace: Trace },
    pools: readonly string[],
  ) {
    this.#deps = deps;
    this.#client = deps.cluster.client();
    this.pools = pools;
    for (const name of pools) this.#makePool(name);
  }

  /** One thing that people do. */
  act(): void {
    const { random } = this.#deps;
    const pool = random.pick(this.pools);
    const roll = random.next();
    if (roll < 0.4) this.#change(pool, { replicas: random.int(0, 6) });
    else if (roll < 0.6) this.#changeTemplate(pool);
    else if (roll < 0.7) this.#deletePool(pool);
    else this.#deletePod(random.pick(['standby', 'claimed']));
  }

  /** Every pool is there, and asks for at least one pod. */
  settle(): void {
    for (const name of this.pools) {
      const pool = this.#pool(name);
      if (pool === undefined) this.#makePool(name);
      else if (pool.spec.replicas === 0) this.#change(name, { replicas: 2 });
    }
  }

  #makePool(name: string): void {
    const { random } = this.#deps;
    const spec = warmPoolSpecSchema.parse({
      runtime: { name: 'nodejs', version: '24' },
      replicas: random.int(1, 5),
      template: { spec: { containers: [{ name: 'runtime', image: 'runtime:1' }] } },
      standby: { readySeconds: 15 },
      claims: {
        onEmpty: random.pick(['Wait', 'Wait', 'Cold', 'Reject']),
        queueLength: random.pick([2, 100]),
        maxWaitSeconds: random.pick([2, 20]),
        idleTimeoutSeconds: 0,
      },
      rollout: random.pick([{ maxUnavailable: random.int(1, 2) }, { maxUnavailable: 0, maxSurge: random.int(1, 2) }]),
    });
    const pool: WarmPool = { apiVersion: 'warmpool.dev/v1alpha1', kind: 'WarmPool', metadata: { name }, spec };
    this.#write(`makes pool ${name} of ${spec.replicas}, onEmpty ${spec.claims.onEmpty}`, () =>
      this.#client.create(WARM_POOLS, NAMESPACE, pool),
    );
  }

  #change(name: string, spec: object): void {
    this.#write(`changes pool ${name}: ${JSON.stringify(spec)}`, () =>
      this.#client.patch(WARM_POOLS, NAMESPACE, name, { spec }),
    );
  }

  #changeTemplate(name: string): void {
    const image = `runtime:${this.#deps.random.int(1, 9)}`;
    this.#change(name, { template: { spec: { containers: [{ name: 'runtime', image }] } } });
  }

  #deletePool(name: string): void {
    const { clock, random } = this.#deps;
    this.#write(`deletes pool ${name}`, () => this.#client.delete(WARM_POOLS, NAMESPACE, name));
    clock.after(random.int(1, 5_000), () => {
      if (this.#pool(name) === undefined) this.#makePool(name);
    });
  }

  #deletePod(state: 'standby' | 'claimed'): void {
    const { cluster, random } = this.#deps;
    const pods = cluster.snapshot(PODS).filter((pod) => pod.metadata.labels?.['warmpool.dev/state'] === state);
    if (pods.length === 0) return;
    const { name } = random.pick(pods).metadata;
    this.#write(`deletes pod ${name}`, () => this.#client.delete(PODS, NAMESPACE, name));
  }

  #pool(name: string): WarmPool | undefined {
    return this.#deps.cluster.snapshot(WARM_POOLS).find((pool) => pool.metadata.name === name) as WarmPool | undefined;
  }

  #write(words: string, call: () => Promise<unknown>): void {
    this.#deps.trace.add('kubectl', words);
    this.#deps.actor.as('kubectl', call).catch((error: unknown) => this.#deps.trace.add('kubectl', String(error)));
  }
}
