import { expect, test } from 'vitest';
import { PODS, type Pod } from '../../../operator/core/resources.ts';
import { isKubeError, type JsonPatchOperation, type Stored } from '../../../operator/engine/kube-client.ts';
import { aPod } from './objects.ts';
import { Watching } from './watching.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

const STATE = '/metadata/labels/example.com~1state';

export function jsonPatches(world: () => ContractWorld): void {
  const create = (): Promise<Stored<Pod>> =>
    world().client.create<Pod>(PODS, world().namespace, aPod('a', { labels: { 'example.com/state': 'standby' } }));
  const patch = (...operations: JsonPatchOperation[]): Promise<Stored<Pod>> =>
    world().client.patch<Pod>(PODS, world().namespace, 'a', operations);
  const claim = (uid: string, by: string): Promise<Stored<Pod>> =>
    patch(
      { op: 'test', path: '/metadata/uid', value: uid },
      { op: 'test', path: STATE, value: 'standby' },
      { op: 'replace', path: STATE, value: 'claimed' },
      { op: 'add', path: '/metadata/labels/by', value: by },
    );

  test('sets, adds and removes where its paths point, and leaves the rest alone', async () => {
    await create();
    const owners = ['one', 'two'].map((uid) => ({ apiVersion: 'v1', kind: 'Pod', name: 'o', uid }));
    const patched = await patch(
      { op: 'replace', path: STATE, value: 'claimed' },
      { op: 'add', path: '/metadata/annotations', value: { 'example.com/a~b': '1' } },
      { op: 'add', path: '/metadata/annotations/other', value: '2' },
      { op: 'remove', path: '/metadata/annotations/example.com~1a~0b' },
      { op: 'add', path: '/metadata/ownerReferences', value: owners },
      { op: 'remove', path: '/metadata/ownerReferences/0' },
    );
    expect(patched.metadata.labels).toEqual({ 'example.com/state': 'claimed' });
    expect(patched.metadata.annotations).toEqual({ other: '2' });
    expect(patched.metadata.ownerReferences?.map(({ uid }) => uid)).toEqual(['two']);
    expect(await world().client.get(PODS, world().namespace, 'a')).toEqual(patched);
  });

  test('adds what it should replace when that is not there', async () => {
    await create();
    const patched = await patch({ op: 'replace', path: '/metadata/labels/absent', value: 'x' });
    expect(patched.metadata.labels).toEqual({ 'example.com/state': 'standby', absent: 'x' });
  });

  test('whose test holds goes through although the object has changed since it was read', async () => {
    const { uid } = (await create()).metadata;
    await world().client.patchStatus(PODS, world().namespace, 'a', { status: { phase: 'Running' } });
    expect((await claim(uid, 'x')).metadata.labels).toEqual({ 'example.com/state': 'claimed', by: 'x' });
  });

  test.each<[string, JsonPatchOperation]>([
    ['test fails', { op: 'test', path: STATE, value: 'claimed' }],
    ['uid is of another object', { op: 'test', path: '/metadata/uid', value: 'another' }],
    ['test is of something that is not there', { op: 'test', path: '/metadata/labels/absent', value: 'x' }],
    ['removal is of something that is not there', { op: 'remove', path: '/metadata/labels/absent' }],
    [
      'replacement is below something that is not there',
      { op: 'replace', path: '/metadata/annotations/a', value: 'x' },
    ],
    ['addition is to something that is not there', { op: 'add', path: '/metadata/annotations/a', value: 'x' }],
    ['index is beyond the list', { op: 'remove', path: '/spec/containers/7' }],
  ])('whose %s is refused whole with 422', async (_what, operation) => {
    const before = await create();
    const error = await expectRefusal(
      patch({ op: 'add', path: '/metadata/labels/by', value: 'x' }, operation),
      422,
      'Invalid',
    );
    expect(error.isAmbiguous).toBe(false);
    expect(await world().client.get(PODS, world().namespace, 'a')).toEqual(before);
  });

  test('that changes nothing makes no new version and no event', async () => {
    const before = await create();
    const { resourceVersion } = before.metadata;
    const watching = new Watching(world().client, PODS, world().namespace, { resourceVersion });
    expect(await patch({ op: 'replace', path: STATE, value: 'standby' })).toEqual(before);
    await world().client.create(PODS, world().namespace, aPod('b'));
    await watching.until(({ seen }) => seen.length > 0);
    expect(watching.seen).toEqual(['ADDED b']);
    await watching.stop();
  });

  test('ends the account of who set which field, and later writes begin none', async () => {
    await create();
    const patched = await patch(
      { op: 'replace', path: STATE, value: 'claimed' },
      { op: 'add', path: '/metadata/managedFields', value: [{}] },
    );
    expect(patched.metadata.labels).toEqual({ 'example.com/state': 'claimed' });
    expect(patched.metadata).not.toHaveProperty('managedFields');
    await world().client.patchStatus(PODS, world().namespace, 'a', { status: { phase: 'Running' } });
    await patch({ op: 'add', path: '/metadata/labels/by', value: 'x' });
    const after = await world().client.get<Pod>(PODS, world().namespace, 'a');
    expect(after.metadata.labels).toEqual({ 'example.com/state': 'claimed', by: 'x' });
    expect(after.metadata).not.toHaveProperty('managedFields');
  });

  test('of something missing is refused with 404', async () => {
    await expectRefusal(patch({ op: 'test', path: STATE, value: 'standby' }), 404, 'NotFound');
  });

  test('with the same test, sent 50 times at once, goes through exactly once', async () => {
    const { uid } = (await create()).metadata;
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, index) => claim(uid, `c${index}`)));
    const winners = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const losers = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    expect(winners).toHaveLength(1);
    // A real apiserver gives up with 409 when it has lost the race inside itself too often.
    expect(losers.filter((error) => isKubeError(error, 422) || isKubeError(error, 409))).toHaveLength(49);
    expect(await world().client.get(PODS, world().namespace, 'a')).toEqual(winners[0]);
  });
}
