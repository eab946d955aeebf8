import { expect, test } from 'vitest';
import { LEASES, SECRETS, WARM_POOLS } from '../../../operator/core/resources.ts';
import type { KubeObject } from '../../../operator/engine/kube-client.ts';
import { aLease, aSecret } from './objects.ts';
import { Watching } from './watching.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

export function watches(world: () => ContractWorld): void {
  const label = (name: string, app: string | null): Promise<KubeObject> =>
    world().client.patch(SECRETS, world().namespace, name, { metadata: { labels: { app } } });

  test('a watch gives every change after its version, once, in order, and nothing before', async () => {
    const { client, namespace, otherNamespace } = world();
    await client.create(SECRETS, namespace, aSecret('before'));
    const { resourceVersion } = await client.list(SECRETS, namespace);
    await client.create(SECRETS, namespace, aSecret('a'));
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    await client.create(SECRETS, otherNamespace, aSecret('elsewhere'));
    await label('a', 'x');
    await client.create(SECRETS, namespace, aSecret('b'));
    await client.delete(SECRETS, namespace, 'a');
    await client.delete(SECRETS, namespace, 'before');
    await watching.until(({ seen }) => seen.length >= 5);
    expect(watching.seen).toEqual(['ADDED a', 'MODIFIED a', 'ADDED b', 'DELETED a', 'DELETED before']);
    const versions = watching.events.map((event) =>
      Number(event.type === 'BOOKMARK' ? event.resourceVersion : event.object.metadata.resourceVersion),
    );
    expect(versions).toEqual([...versions].sort((a, b) => a - b));
    await watching.stop();
  });

  test('a watch goes on from the version of any event that it gave', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    for (const name of ['a', 'b', 'c']) await client.create(SECRETS, namespace, aSecret(name));
    const first = new Watching(client, SECRETS, namespace, { resourceVersion });
    await first.until(({ seen }) => seen.length === 3);
    await first.stop();
    const [event] = first.events;
    const from = event?.type === 'BOOKMARK' ? event.resourceVersion : event?.object.metadata.resourceVersion;
    const second = new Watching(client, SECRETS, namespace, { resourceVersion: from ?? '' });
    await second.until(({ seen }) => seen.length >= 2);
    expect(second.seen).toEqual(['ADDED b', 'ADDED c']);
    await second.stop();
  });

  test('a watch without a namespace is of all of them', async () => {
    const { client, namespace, otherNamespace } = world();
    const { resourceVersion } = await client.list(SECRETS, undefined);
    const watching = new Watching(client, SECRETS, undefined, { resourceVersion });
    await client.create(SECRETS, namespace, aSecret('here'));
    await client.create(SECRETS, otherNamespace, aSecret('there'));
    await watching.until(({ seen }) => seen.includes('ADDED here') && seen.includes('ADDED there'));
    await watching.stop();
  });

  test('an event carries the same object as the write gave back', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    const created = await client.create(SECRETS, namespace, aSecret('a'));
    const patched = await label('a', 'x');
    await watching.until(({ seen }) => seen.length === 2);
    expect(watching.events.map((event) => event.type !== 'BOOKMARK' && event.object)).toEqual([created, patched]);
    await watching.stop();
  });

  test('a deletion shows the object as it last was, at the version of the deletion', async () => {
    const { client, namespace } = world();
    await client.create(SECRETS, namespace, aSecret('a'));
    const last = await label('a', 'x');
    const { resourceVersion = '' } = last.metadata;
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    await client.delete(SECRETS, namespace, 'a');
    await watching.until(({ seen }) => seen.length === 1);
    const [event] = watching.events;
    if (event?.type !== 'DELETED') throw new Error('not a deletion');
    expect(event.object).toMatchObject({ metadata: { labels: { app: 'x' }, uid: last.metadata.uid } });
    expect(Number(event.object.metadata.resourceVersion)).toBeGreaterThan(Number(resourceVersion));
    await watching.stop();
  });

  test('an object that starts to match the selector is added, one that stops to match is deleted', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion, labelSelector: 'app=x' });
    await client.create(SECRETS, namespace, aSecret('never'));
    await client.create(SECRETS, namespace, aSecret('a'));
    await label('a', 'x');
    await client.patch(SECRETS, namespace, 'a', { metadata: { labels: { other: '1' } } });
    const left = await label('a', null);
    await client.delete(SECRETS, namespace, 'a');
    await client.create(SECRETS, namespace, aSecret('b', { labels: { app: 'x' } }));
    await watching.until(({ seen }) => seen.includes('ADDED b'));
    expect(watching.seen).toEqual(['ADDED a', 'MODIFIED a', 'DELETED a', 'ADDED b']);
    const gone = watching.events[2];
    if (gone?.type !== 'DELETED') throw new Error('not a deletion');
    expect(gone.object.metadata.labels).toEqual({ app: 'x', other: '1' });
    expect(gone.object.metadata.resourceVersion).toBe(left.metadata.resourceVersion);
    await watching.stop();
  });

  test('a patch without a change is not an event', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = (await client.create(SECRETS, namespace, aSecret('a', { labels: { app: 'x' } })))
      .metadata;
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    await label('a', 'x');
    await client.create(SECRETS, namespace, aSecret('b'));
    await watching.until(({ seen }) => seen.length > 0);
    expect(watching.seen).toEqual(['ADDED b']);
    await watching.stop();
  });

  test.each([WARM_POOLS, LEASES])(
    'a watch of $plural from a forgotten version fails with 410 Expired',
    async (kind) => {
      const { client, namespace, forgottenVersion } = world();
      await client.create(LEASES, namespace, aLease('newer'));
      const watching = new Watching(client, kind, namespace, { resourceVersion: await forgottenVersion() });
      await expectRefusal(watching.ended, 410, 'Expired');
    },
  );

  test('a watch ends by itself after its time, with a bookmark of a version to go on from', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion, timeoutSeconds: 4 });
    const { metadata } = await client.create(SECRETS, namespace, aSecret('a'));
    await watching.ended;
    const bookmark = watching.events.findLast((event) => event.type === 'BOOKMARK');
    expect(Number(bookmark?.resourceVersion)).toBeGreaterThanOrEqual(Number(metadata.resourceVersion));
  });

  test('an aborted watch fails with Aborted at once, also in the middle of silence', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    await client.create(SECRETS, namespace, aSecret('a'));
    await watching.until(({ seen }) => seen.length === 1);
    watching.abort();
    await expectRefusal(watching.ended, 0, 'Aborted');
  });

  test('a reader that leaves the loop ends the watch', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    await client.create(SECRETS, namespace, aSecret('a'));
    const { signal } = new AbortController();
    for await (const event of client.watch(SECRETS, namespace, { resourceVersion, timeoutSeconds: 60, signal })) {
      expect(event.type).toBe('ADDED');
      break;
    }
  });

  test('text of every script and size comes through a watch unharmed', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const watching = new Watching(client, SECRETS, namespace, { resourceVersion });
    const texts = ['ünïcödé 漢字 🚀', '🚀'.repeat(20_000), 'line\nbreak'];
    for (const [index, text] of texts.entries()) {
      await client.create(SECRETS, namespace, aSecret(`s${index}`, { annotations: { text } }));
    }
    await watching.until(({ seen }) => seen.length === 3);
    const received = watching.events.map(
      (event) => event.type !== 'BOOKMARK' && event.object.metadata.annotations?.['text'],
    );
    expect(received).toEqual(texts);
    await watching.stop();
  });
}
