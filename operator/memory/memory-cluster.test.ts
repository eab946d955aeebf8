import { describe, expect, test } from 'vitest';
import { type Pod, PODS, SECRETS, WARM_POOLS, type WarmPool } from '../core/resources.ts';
import { systemClock } from '../engine/clock.ts';
import type { KubeObject, OwnerReference, Stored } from '../engine/kube-client.ts';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { aPod, aSecret, aWarmPool } from '../../test/contract/kube-client/objects.ts';
import { Watching } from '../../test/contract/kube-client/watching.ts';
import { expectRefusal } from '../../test/contract/kube-client/world.ts';
import { MemoryCluster, type MemoryClusterOptions } from './memory-cluster.ts';

const NAMESPACE = 'one';

function aCluster(options?: MemoryClusterOptions) {
  const clock = new VirtualClock();
  let drawn = 0;
  const cluster = new MemoryCluster({ clock, random: () => (drawn = (drawn + 0.618) % 1) }, options);
  return { clock, cluster, client: cluster.client() };
}

function ownedBy(owner: Stored<KubeObject>): OwnerReference {
  const { name, uid } = owner.metadata;
  return { apiVersion: owner.apiVersion ?? '', kind: owner.kind ?? '', name, uid };
}

describe('what a memory cluster gives out', () => {
  test('cannot be changed by who got it', async () => {
    const { client } = aCluster();
    const pod = await client.create<Pod>(PODS, NAMESPACE, aPod('a', { labels: { app: 'x' } }));
    expect(() => (pod.metadata.labels = {})).toThrow(TypeError);
    expect(() => pod.spec.containers.push({ name: 'more' })).toThrow(TypeError);
    const patched = await client.patch<Pod>(PODS, NAMESPACE, 'a', { metadata: { annotations: { a: 'b' } } });
    expect(() => delete patched.metadata.annotations?.['a']).toThrow(TypeError);
  });

  test('is the same in two runs with the same clock and random numbers', async () => {
    const run = async (): Promise<unknown> => {
      const { client } = aCluster();
      return client.create(PODS, NAMESPACE, aPod('', { generateName: 'pod-' }));
    };
    expect(await run()).toEqual(await run());
  });
});

describe('garbage collection in a memory cluster', () => {
  test('deletes, by uid, what an owner that went leaves behind', async () => {
    const { client, clock, cluster } = aCluster();
    const pool = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool'));
    await client.create(PODS, NAMESPACE, aPod('owned', { ownerReferences: [ownedBy(pool)] }));
    await client.create(PODS, NAMESPACE, aPod('free'));
    await client.delete(WARM_POOLS, NAMESPACE, 'pool');
    await client.create(WARM_POOLS, NAMESPACE, aWarmPool('pool'));
    await clock.advance(1_000);
    expect(cluster.snapshot(PODS).map(({ metadata }) => metadata.name)).toEqual(['free']);
  });

  test('spares what has been given to another owner before', async () => {
    const { client, clock, cluster } = aCluster();
    const pool = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool'));
    await client.create(PODS, NAMESPACE, aPod('a', { ownerReferences: [ownedBy(pool)] }));
    await client.patch(PODS, NAMESPACE, 'a', { metadata: { ownerReferences: [] } });
    await client.delete(WARM_POOLS, NAMESPACE, 'pool');
    await clock.advance(1_000);
    expect(cluster.snapshot(PODS)).toHaveLength(1);
  });

  test('takes away only the reference while another owner is left', async () => {
    const { client, clock } = aCluster();
    const one = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool-1'));
    const two = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool-2'));
    await client.create(SECRETS, NAMESPACE, aSecret('a', { ownerReferences: [ownedBy(one), ownedBy(two)] }));
    await client.delete(WARM_POOLS, NAMESPACE, 'pool-1');
    await clock.advance(1_000);
    const { ownerReferences } = (await client.get(SECRETS, NAMESPACE, 'a')).metadata;
    expect(ownerReferences).toEqual([ownedBy(two)]);
  });

  test('deletes what is created for an owner that is already gone', async () => {
    const { client, clock, cluster } = aCluster();
    const pool = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool'));
    await client.delete(WARM_POOLS, NAMESPACE, 'pool');
    await client.create(SECRETS, NAMESPACE, aSecret('late', { ownerReferences: [ownedBy(pool)] }));
    await clock.advance(1_000);
    expect(cluster.snapshot(SECRETS)).toEqual([]);
  });

  test('leaves a pod on a node to its kubelet', async () => {
    const { client, clock } = aCluster();
    const pool = await client.create<WarmPool>(WARM_POOLS, NAMESPACE, aWarmPool('pool'));
    const metadata = { ownerReferences: [ownedBy(pool)] };
    await client.create(PODS, NAMESPACE, aPod('a', metadata, { nodeName: 'node-1' }));
    await client.delete(WARM_POOLS, NAMESPACE, 'pool');
    await clock.advance(1_000);
    expect((await client.get(PODS, NAMESPACE, 'a')).metadata.deletionTimestamp).toBeDefined();
  });
});

describe('a watch of a memory cluster', () => {
  test('gets a bookmark at each interval, and ends when its time is over', async () => {
    const { client, clock } = aCluster({ bookmarkIntervalMs: 10_000 });
    const { metadata } = await client.create(SECRETS, NAMESPACE, aSecret('a'));
    const { resourceVersion } = metadata;
    const watching = new Watching(client, SECRETS, NAMESPACE, { resourceVersion, timeoutSeconds: 25 });
    await clock.advance(25_000);
    await watching.ended;
    const bookmark = { type: 'BOOKMARK', resourceVersion };
    expect(watching.events).toEqual([bookmark, bookmark, bookmark]);
  });

  test('that falls behind what is remembered fails with 410, one that keeps up does not', async () => {
    const { client } = aCluster({ historyLimit: 10 });
    const { resourceVersion } = (await client.create(SECRETS, NAMESPACE, aSecret('a'))).metadata;
    const { signal } = new AbortController();
    const slow = client.watch(SECRETS, NAMESPACE, { resourceVersion, timeoutSeconds: 60, signal });
    const reader = slow[Symbol.asyncIterator]();
    const first = reader.next();
    const keepsUp = new Watching(client, SECRETS, NAMESPACE, { resourceVersion });
    for (let index = 0; index < 50; index += 1) {
      await client.patch(SECRETS, NAMESPACE, 'a', { metadata: { labels: { index: String(index) } } });
      await keepsUp.until(({ seen }) => seen.length === index + 1);
    }
    expect((await first).value).toMatchObject({ type: 'MODIFIED' });
    await expectRefusal(reader.next(), 410, 'Expired');
    await keepsUp.stop();
  });
});

test('a node is given to a pod once, as by a scheduler, and never changed', async () => {
  const { client } = aCluster();
  await client.create(PODS, NAMESPACE, aPod('a'));
  const bind = (nodeName: string): Promise<Pod> => client.patch<Pod>(PODS, NAMESPACE, 'a', { spec: { nodeName } });
  expect((await bind('node-1')).spec.nodeName).toBe('node-1');
  await expectRefusal(bind('node-2'), 422, 'Invalid');
});

test('a patch among 5,000 watched pods takes well under a tenth of a millisecond', async () => {
  const cluster = new MemoryCluster({ clock: systemClock, random: Math.random });
  const client = cluster.client();
  for (let index = 0; index < 5_000; index += 1) {
    await client.create(PODS, NAMESPACE, aPod(`p${index}`, { labels: { state: 'standby', pool: 'pool' } }));
  }
  const { resourceVersion } = await client.list(PODS, NAMESPACE, { labelSelector: 'state=standby' });
  const watching = new Watching(client, PODS, NAMESPACE, { resourceVersion, labelSelector: 'pool=pool' });
  const startMs = performance.now();
  for (let index = 0; index < 5_000; index += 1) {
    await client.patch(PODS, NAMESPACE, `p${index}`, { metadata: { labels: { state: 'claimed' } } });
  }
  await watching.until(({ events }) => events.length === 5_000);
  const eachMs = (performance.now() - startMs) / 5_000;
  // Ten times what it takes on a slow machine: only an accidental walk over all pods passes this.
  expect(eachMs).toBeLessThan(0.5);
  await watching.stop();
});
