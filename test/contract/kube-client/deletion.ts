import { expect, test } from 'vitest';
import { PODS, type Pod, SECRETS, WARM_POOLS } from '../../../operator/core/resources.ts';
import type { ObjectMeta } from '../../../operator/engine/kube-client.ts';
import { aPod, aSecret, aWarmPool } from './objects.ts';
import { Watching } from './watching.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

type Deleting = ObjectMeta & { deletionGracePeriodSeconds?: number };

export function deletion(world: () => ContractWorld): void {
  test('delete with the uid of another object is refused with 409', async () => {
    const { client, namespace } = world();
    const { uid } = (await client.create(SECRETS, namespace, aSecret('a'))).metadata;
    await expectRefusal(client.delete(SECRETS, namespace, 'a', { uid: 'another' }), 409, 'Conflict');
    await client.delete(SECRETS, namespace, 'a', { uid });
    await expectRefusal(client.get(SECRETS, namespace, 'a'), 404, 'NotFound');
  });

  test('delete with a stale resourceVersion is refused with 409', async () => {
    const { client, namespace } = world();
    const first = (await client.create(SECRETS, namespace, aSecret('a'))).metadata.resourceVersion;
    const changed = await client.patch(SECRETS, namespace, 'a', { metadata: { labels: { app: 'x' } } });
    await expectRefusal(client.delete(SECRETS, namespace, 'a', { resourceVersion: first }), 409, 'Conflict');
    await client.delete(SECRETS, namespace, 'a', { resourceVersion: changed.metadata.resourceVersion });
    await expectRefusal(client.get(SECRETS, namespace, 'a'), 404, 'NotFound');
  });

  test('a pod that was never scheduled goes at once; a watch still sees it marked first', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = (await client.create(PODS, namespace, aPod('a'))).metadata;
    const watching = new Watching(client, PODS, namespace, { resourceVersion });
    await client.delete(PODS, namespace, 'a');
    await expectRefusal(client.get(PODS, namespace, 'a'), 404, 'NotFound');
    await watching.until(({ seen }) => seen.includes('DELETED a'));
    expect(watching.seen).toEqual(['MODIFIED a', 'DELETED a']);
    await watching.stop();
  });

  test('a pod on a node stays, marked, until the kubelet deletes it without grace', async () => {
    const { client, namespace } = world();
    const spec = { nodeName: 'node-1', terminationGracePeriodSeconds: 20 };
    const { resourceVersion } = (await client.create(PODS, namespace, aPod('a', {}, spec))).metadata;
    const watching = new Watching(client, PODS, namespace, { resourceVersion });
    await client.delete(PODS, namespace, 'a');
    const marked: Deleting = (await client.get(PODS, namespace, 'a')).metadata;
    expect(marked.deletionTimestamp).toMatch(/Z$/);
    expect(marked.deletionGracePeriodSeconds).toBe(20);
    await client.delete(PODS, namespace, 'a', { gracePeriodSeconds: 0 });
    await expectRefusal(client.get(PODS, namespace, 'a'), 404, 'NotFound');
    await watching.until(({ seen }) => seen.includes('DELETED a'));
    expect(watching.seen).toEqual(['MODIFIED a', 'MODIFIED a', 'DELETED a']);
    await watching.stop();
  });

  test('a second delete may shorten the grace of a pod but not lengthen it', async () => {
    const { client, namespace } = world();
    await client.create(PODS, namespace, aPod('a', {}, { nodeName: 'node-1' }));
    const graceAfter = async (gracePeriodSeconds: number): Promise<number | undefined> => {
      await client.delete(PODS, namespace, 'a', { gracePeriodSeconds });
      const metadata: Deleting = (await client.get(PODS, namespace, 'a')).metadata;
      return metadata.deletionGracePeriodSeconds;
    };
    expect(await graceAfter(20)).toBe(20);
    expect(await graceAfter(25)).toBe(20);
    expect(await graceAfter(5)).toBe(5);
  });

  test('a pod that has ended goes at once, node or not', async () => {
    const { client, namespace } = world();
    await client.create(PODS, namespace, aPod('a', {}, { nodeName: 'node-1' }));
    await client.patchStatus(PODS, namespace, 'a', { status: { phase: 'Failed' } });
    await client.delete(PODS, namespace, 'a');
    await expectRefusal(client.get(PODS, namespace, 'a'), 404, 'NotFound');
  });

  test('an object with a finalizer stays, marked, until the last finalizer is taken away', async () => {
    const { client, namespace } = world();
    const finalizers = ['example.com/a', 'example.com/b'];
    const { resourceVersion } = (await client.create(SECRETS, namespace, aSecret('a', { finalizers }))).metadata;
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    const keep = (left: string[]): Promise<unknown> =>
      client.patch(SECRETS, namespace, 'a', { metadata: { finalizers: left } });
    await client.delete(SECRETS, namespace, 'a');
    expect((await client.get(SECRETS, namespace, 'a')).metadata.deletionTimestamp).toMatch(/Z$/);
    await expectRefusal(keep([...finalizers, 'example.com/c']), 422, 'Invalid');
    await keep(['example.com/b']);
    await client.delete(SECRETS, namespace, 'a');
    await client.get(SECRETS, namespace, 'a');
    await keep([]);
    await expectRefusal(client.get(SECRETS, namespace, 'a'), 404, 'NotFound');
    await watching.until(({ seen }) => seen.includes('DELETED a'));
    expect(watching.seen).toEqual(['MODIFIED a', 'MODIFIED a', 'DELETED a']);
    await watching.stop();
  });

  test('a name can be used again once its object is really gone, and not before', async () => {
    const { client, namespace } = world();
    await client.create<Pod>(PODS, namespace, aPod('a', {}, { nodeName: 'node-1' }));
    await client.delete(PODS, namespace, 'a');
    await expectRefusal(client.create(PODS, namespace, aPod('a')), 409, 'AlreadyExists');
    await client.delete(PODS, namespace, 'a', { gracePeriodSeconds: 0 });
    await client.create(PODS, namespace, aPod('a'));
  });

  test('the mark of deletion is a new generation', async () => {
    const { client, namespace } = world();
    const pool = { ...aWarmPool('pool'), metadata: { name: 'pool', finalizers: ['example.com/a'] } };
    expect((await client.create(WARM_POOLS, namespace, pool)).metadata.generation).toBe(1);
    await client.delete(WARM_POOLS, namespace, 'pool');
    expect((await client.get(WARM_POOLS, namespace, 'pool')).metadata.generation).toBe(2);
  });
}
