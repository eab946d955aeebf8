import { describe, expect, it } from 'vitest';
import type { KubeObject, Stored } from './kube-client.ts';
import { objectKey, ObjectStore } from './store.ts';
import { anObject } from './testing/scripted-client.ts';

type Changed = [old: string | undefined, next: string | undefined];

function aStore(): { store: ObjectStore<KubeObject>; changes: Changed[]; errors: unknown[] } {
  const errors: unknown[] = [];
  const changes: Changed[] = [];
  const store = new ObjectStore<KubeObject>(
    { onError: (error) => errors.push(error) },
    { app: (object) => (object.metadata.labels?.['app'] ? [object.metadata.labels['app']] : []) },
  );
  const show = (object: Stored<KubeObject> | undefined): string | undefined =>
    object && `${object.metadata.uid}@${object.metadata.resourceVersion}`;
  store.onChange((old, next) => changes.push([show(old), show(next)]));
  return { store, changes, errors };
}

describe('ObjectStore', () => {
  it('finds an object by key, by uid and by index, and no longer when it is gone', () => {
    const { store } = aStore();
    const pod = anObject('a', '1', { labels: { app: 'web' } });
    store.apply({ type: 'ADDED', object: pod });
    expect(store.get('default', 'a')).toBe(pod);
    expect(store.getByKey(objectKey(pod))).toBe(pod);
    expect(store.getByUid('uid-a')).toBe(pod);
    expect(store.byIndex('app', 'web')).toEqual([pod]);
    store.apply({ type: 'DELETED', object: anObject('a', '2') });
    expect(store.get('default', 'a')).toBeUndefined();
    expect(store.getByUid('uid-a')).toBeUndefined();
    expect(store.byIndex('app', 'web')).toEqual([]);
    expect(store.size).toBe(0);
  });

  it('moves an object between index keys when it changes', () => {
    const { store } = aStore();
    store.apply({ type: 'ADDED', object: anObject('a', '1', { labels: { app: 'web' } }) });
    store.apply({ type: 'MODIFIED', object: anObject('a', '2', { labels: { app: 'job' } }) });
    expect(store.countByIndex('app', 'web')).toBe(0);
    expect(store.byIndex('app', 'job').map((pod) => pod.metadata.resourceVersion)).toEqual(['2']);
  });

  it('names the indexes it has when asked for another one', () => {
    const { store } = aStore();
    expect(() => store.byIndex('owner', 'x')).toThrow('the store has no index "owner"; it has: app');
  });

  it('gives out objects that cannot be changed, however deep', () => {
    const { store } = aStore();
    store.apply({ type: 'ADDED', object: anObject('a', '1', { labels: { app: 'web' } }) });
    const pod = store.get('default', 'a');
    expect(() => Object.assign(pod?.metadata.labels ?? {}, { app: 'job' })).toThrow(TypeError);
  });

  it('tells of a list only what differs, deletions first', () => {
    const { store, changes } = aStore();
    store.replaceAll([anObject('a', '1'), anObject('b', '2'), anObject('c', '3')]);
    changes.length = 0;
    store.replaceAll([anObject('b', '2'), anObject('c', '4'), anObject('d', '5')]);
    expect(changes).toEqual([
      ['uid-a@1', undefined],
      ['uid-c@3', 'uid-c@4'],
      [undefined, 'uid-d@5'],
    ]);
  });

  it('shows the whole new list to the first listener that is told of it', () => {
    const { store } = aStore();
    const sizes: number[] = [];
    store.onChange(() => sizes.push(store.size));
    store.replaceAll([anObject('a', '1'), anObject('b', '2')]);
    expect(sizes).toEqual([2, 2]);
  });

  it('tells of an object that took the name of another as one gone and one added', () => {
    const { store, changes } = aStore();
    store.apply({ type: 'ADDED', object: anObject('a', '1') });
    store.apply({ type: 'MODIFIED', object: anObject('a', '9', { uid: 'second' }) });
    expect(changes.slice(1)).toEqual([
      ['uid-a@1', undefined],
      [undefined, 'second@9'],
    ]);
    expect(store.getByUid('uid-a')).toBeUndefined();
  });

  it('says nothing when the same version comes again, and nothing for bookmarks and unknown deletions', () => {
    const { store, changes } = aStore();
    store.apply({ type: 'ADDED', object: anObject('a', '1') });
    store.apply({ type: 'MODIFIED', object: anObject('a', '1') });
    store.apply({ type: 'BOOKMARK', resourceVersion: '7' });
    store.apply({ type: 'DELETED', object: anObject('x', '8') });
    expect(changes).toHaveLength(1);
  });

  it('goes on when a listener throws, and reports it', () => {
    const { store, errors } = aStore();
    const seen: string[] = [];
    store.onChange(() => {
      throw new Error('listener fell over');
    });
    store.onChange((_, next) => seen.push(next?.metadata.name ?? ''));
    store.replaceAll([anObject('a', '1'), anObject('b', '2')]);
    expect(seen).toEqual(['a', 'b']);
    expect(errors).toHaveLength(2);
  });

  it('stops telling a listener that has left', () => {
    const { store } = aStore();
    let calls = 0;
    const leave = store.onChange(() => calls++);
    store.apply({ type: 'ADDED', object: anObject('a', '1') });
    leave();
    store.apply({ type: 'ADDED', object: anObject('b', '2') });
    expect(calls).toBe(1);
  });
});
