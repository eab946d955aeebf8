import { expect, test } from 'vitest';
import { PODS, type Pod, SECRETS, type Secret } from '../../../operator/core/resources.ts';
import { isKubeError } from '../../../operator/engine/kube-client.ts';
import { aPod, aSecret } from './objects.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

export function writes(world: () => ContractWorld): void {
  test('create fills in what the server decides, and get gives the same back', async () => {
    const { client, namespace } = world();
    const created = await client.create(PODS, namespace, aPod('a', { labels: { app: 'x' } }));
    expect(created).toMatchObject({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace } });
    expect(created.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(created.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect(Number(created.metadata.resourceVersion)).toBeGreaterThan(0);
    expect(await client.get(PODS, namespace, 'a')).toEqual(created);
  });

  test('create under a name that is taken is refused with 409 AlreadyExists', async () => {
    const { client, namespace } = world();
    await client.create(SECRETS, namespace, aSecret('a'));
    const error = await expectRefusal(client.create(SECRETS, namespace, aSecret('a')), 409, 'AlreadyExists');
    expect(error.message).toContain('secrets "a" already exists');
  });

  test('the same name in another namespace is another object', async () => {
    const { client, namespace, otherNamespace } = world();
    const one = await client.create(SECRETS, namespace, aSecret('a'));
    const other = await client.create(SECRETS, otherNamespace, aSecret('a'));
    expect(other.metadata.uid).not.toBe(one.metadata.uid);
  });

  test('create with a version, or in another namespace than its own, is refused', async () => {
    const { client, namespace, otherNamespace } = world();
    const create = (metadata: object): Promise<Secret> => client.create(SECRETS, namespace, aSecret('a', metadata));
    await expectRefusal(create({ resourceVersion: '5' }), 500, 'InternalError');
    await expectRefusal(create({ namespace: otherNamespace }), 400, 'BadRequest');
    await expectRefusal(client.create(SECRETS, namespace, aSecret('')), 422, 'Invalid');
  });

  test('generateName makes a new name each time', async () => {
    const { client, namespace } = world();
    const made = await Promise.all(
      [1, 2, 3].map(() => client.create(SECRETS, namespace, aSecret('', { generateName: 'made-' }))),
    );
    const names = made.map((secret) => secret.metadata.name);
    expect(new Set(names).size).toBe(3);
    for (const name of names) expect(name).toMatch(/^made-[a-z0-9]{5}$/);
  });

  test.each([
    ['name', aSecret('Not_A_Name'), 'metadata.name'],
    ['label value', aSecret('a', { labels: { ok: 'not ok' } }), 'metadata.labels'],
    ['label key', aSecret('a', { labels: { 'not ok': 'ok' } }), 'metadata.labels'],
    ['owner', aSecret('a', { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: '', uid: 'u' }] }), 'name'],
  ])('create with a bad %s is refused with 422 and the field', async (_what, secret, field) => {
    const { client, namespace } = world();
    const error = await expectRefusal(client.create(SECRETS, namespace, secret), 422, 'Invalid');
    expect(error.message).toContain(field);
  });

  test('what the caller does to its object after create does not reach the stored one', async () => {
    const { client, namespace } = world();
    const labels: Record<string, string> = { app: 'x' };
    await client.create(SECRETS, namespace, aSecret('a', { labels }));
    labels['app'] = 'changed';
    expect((await client.get(SECRETS, namespace, 'a')).metadata.labels).toEqual({ app: 'x' });
  });

  test('everything but create of something missing is refused with 404', async () => {
    const { client, namespace } = world();
    await expectRefusal(client.get(PODS, namespace, 'missing'), 404, 'NotFound');
    await expectRefusal(client.patch(PODS, namespace, 'missing', { metadata: {} }), 404, 'NotFound');
    await expectRefusal(client.patchStatus(PODS, namespace, 'missing', { status: {} }), 404, 'NotFound');
    await expectRefusal(client.delete(PODS, namespace, 'missing'), 404, 'NotFound');
  });

  test('an empty name never addresses the whole collection', async () => {
    const { client, namespace } = world();
    await client.create(SECRETS, namespace, aSecret('a'));
    await expectRefusal(client.delete(SECRETS, namespace, ''), 422, 'Invalid');
    expect((await client.list(SECRETS, namespace)).items).toHaveLength(1);
  });

  test('a merge patch sets, replaces lists whole, removes with null and leaves the rest alone', async () => {
    const { client, namespace } = world();
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'o', uid: 'u1' };
    const metadata = { labels: { keep: '1', change: '1', drop: '1' }, ownerReferences: [owner] };
    await client.create(PODS, namespace, aPod('a', metadata));
    const patched = await client.patch<Pod>(PODS, namespace, 'a', {
      metadata: {
        labels: { change: '2', drop: null, add: '1' },
        ownerReferences: [
          { ...owner, name: 'p', uid: 'u2' },
          { ...owner, name: 'q', uid: 'u3' },
        ],
      },
    });
    expect(patched.metadata.labels).toEqual({ keep: '1', change: '2', add: '1' });
    expect(patched.metadata.ownerReferences?.map(({ uid }) => uid)).toEqual(['u2', 'u3']);
    expect(patched.spec.containers).toHaveLength(1);
  });

  test('patching labels gives back the object at its new version', async () => {
    const { client, namespace } = world();
    const before = await client.create(PODS, namespace, aPod('a', { labels: { state: 'standby' } }));
    const after = await client.patch(PODS, namespace, 'a', { metadata: { labels: { state: 'claimed' } } });
    expect(after.metadata.labels).toEqual({ state: 'claimed' });
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.metadata.resourceVersion).not.toBe(before.metadata.resourceVersion);
    expect(await client.get(PODS, namespace, 'a')).toEqual(after);
  });

  test('a patch that changes nothing makes no new version', async () => {
    const { client, namespace } = world();
    const before = await client.create(PODS, namespace, aPod('a', { labels: { app: 'x' } }));
    const patch = { metadata: { labels: { app: 'x', absent: null }, annotations: {} } };
    expect(await client.patch(PODS, namespace, 'a', patch)).toEqual(before);
  });

  test('a stale resourceVersion in a patch is refused with 409 Conflict, the current one is not', async () => {
    const { client, namespace } = world();
    const first = (await client.create(PODS, namespace, aPod('a'))).metadata.resourceVersion;
    const patch = (resourceVersion: string, app: string): Promise<Pod> =>
      client.patch<Pod>(PODS, namespace, 'a', { metadata: { resourceVersion, labels: { app } } });
    const second = await patch(first, 'x');
    const error = await expectRefusal(patch(first, 'y'), 409, 'Conflict');
    expect(error.isAmbiguous).toBe(false);
    expect(await client.get(PODS, namespace, 'a')).toEqual(second);
  });

  test('a stale resourceVersion is refused even when the patch would change nothing else', async () => {
    const { client, namespace } = world();
    const first = await client.create(PODS, namespace, aPod('a', { labels: { app: 'x' } }));
    await client.patch(PODS, namespace, 'a', { metadata: { labels: { other: 'y' } } });
    const { resourceVersion } = first.metadata;
    const patch = { metadata: { resourceVersion, labels: { app: 'x' } } };
    await expectRefusal(client.patch(PODS, namespace, 'a', patch), 409, 'Conflict');
  });

  test('the uid of another object in a patch is refused with 422, or with 409 when its version is given too', async () => {
    const { client, namespace } = world();
    const gone = await client.create(PODS, namespace, aPod('a'));
    await client.delete(PODS, namespace, 'a');
    const back = await client.create(PODS, namespace, aPod('a'));
    const patch = (uid: string): Promise<Pod> =>
      client.patch<Pod>(PODS, namespace, 'a', { metadata: { uid, labels: { app: 'x' } } });
    const error = await expectRefusal(patch(gone.metadata.uid), 422, 'Invalid');
    expect(error.message).toContain('metadata.uid');
    const { uid, resourceVersion } = gone.metadata;
    const both = { metadata: { uid, resourceVersion, labels: { app: 'x' } } };
    await expectRefusal(client.patch(PODS, namespace, 'a', both), 409, 'Conflict');
    expect((await patch(back.metadata.uid)).metadata.labels).toEqual({ app: 'x' });
  });

  test('of 50 conditional patches of one object at once exactly one wins', async () => {
    const { client, namespace } = world();
    const { uid, resourceVersion } = (await client.create(PODS, namespace, aPod('a'))).metadata;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        client.patch(PODS, namespace, 'a', { metadata: { uid, resourceVersion, labels: { winner: `w${index}` } } }),
      ),
    );
    const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const losers = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    expect(winners).toHaveLength(1);
    expect(losers.filter((error) => isKubeError(error, 409))).toHaveLength(49);
    expect(await client.get(PODS, namespace, 'a')).toEqual(winners[0]);
  });

  test('unconditional patches of different labels at once all take effect', async () => {
    const { client, namespace } = world();
    await client.create(PODS, namespace, aPod('a'));
    const names = Array.from({ length: 10 }, (_, index) => `l${index}`);
    await Promise.all(
      names.map((name) => client.patch(PODS, namespace, 'a', { metadata: { labels: { [name]: '1' } } })),
    );
    expect(Object.keys((await client.get(PODS, namespace, 'a')).metadata.labels ?? {}).sort()).toEqual(names);
  });

  test('what the server decides about an object cannot be patched', async () => {
    const { client, namespace } = world();
    const before = await client.create(PODS, namespace, aPod('a'));
    const patch = (metadata: object): Promise<unknown> => client.patch(PODS, namespace, 'a', { metadata });
    await expectRefusal(patch({ name: 'b' }), 400, 'BadRequest');
    await expectRefusal(patch({ deletionTimestamp: '2001-01-01T00:00:00Z' }), 422, 'Invalid');
    expect(await patch({ creationTimestamp: '2001-01-01T00:00:00Z', generation: 77 })).toEqual(before);
  });

  test('a call whose signal has aborted is not made', async () => {
    const { client, namespace } = world();
    const signal = AbortSignal.abort();
    await expectRefusal(client.create<Secret>(SECRETS, namespace, aSecret('a'), { signal }), 0, 'Aborted');
    expect((await client.list(SECRETS, namespace)).items).toEqual([]);
  });
}
