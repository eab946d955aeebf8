import type { KubeObject, Stored, WatchEvent } from './kube-client.ts';

/** `namespace/name`; cluster-scoped objects have an empty namespace. */
export type ObjectKey = string;

export function objectKey(object: KubeObject): ObjectKey {
  return keyOf(object.metadata.namespace, object.metadata.name);
}

export function keyOf(namespace: string | undefined, name: string): ObjectKey {
  return `${namespace ?? ''}/${name}`;
}

/** Under which keys an object is found by this index; none leaves it out. Must depend on the object alone. */
export type IndexFunction<T extends KubeObject> = (object: Stored<T>) => readonly string[];

/** `old` undefined: added; `next` undefined: gone. One call never spans two objects: another uid is gone, then added. */
export type ChangeListener<T extends KubeObject> = (old: Stored<T> | undefined, next: Stored<T> | undefined) => void;

export interface StoreDeps {
  /** What a listener or an index function threw. The store and everything else go on. */
  onError: (error: unknown) => void;
}

/**
 * The objects of one kind as last seen, by key, by uid and by index. Objects are frozen: who wants to change one copies it. When a
 * listener is called, the store already shows everything that came with the same event or list.
 */
export class ObjectStore<T extends KubeObject> {
  readonly #deps: StoreDeps;
  readonly #objects = new Map<ObjectKey, Stored<T>>();
  readonly #byUid = new Map<string, Stored<T>>();
  readonly #indexes: Map<string, Index<T>>;
  readonly #listeners = new Set<ChangeListener<T>>();

  constructor(deps: StoreDeps, indexes: Record<string, IndexFunction<T>> = {}) {
    this.#deps = deps;
    this.#indexes = new Map(
      Object.entries(indexes).map(([name, keysOf]) => [name, { keysOf, objects: new Map<string, Bucket<T>>() }]),
    );
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string | undefined, name: string): Stored<T> | undefined {
    return this.#objects.get(keyOf(namespace, name));
  }

  getByKey(key: ObjectKey): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  getByUid(uid: string): Stored<T> | undefined {
    return this.#byUid.get(uid);
  }

  list(): Stored<T>[] {
    return [...this.#objects.values()];
  }

  byIndex(name: string, key: string): Stored<T>[] {
    const bucket = this.#index(name).objects.get(key);
    return bucket ? [...bucket.values()] : [];
  }

  /** How many `byIndex` would return. */
  countByIndex(name: string, key: string): number {
    return this.#index(name).objects.get(key)?.size ?? 0;
  }

  onChange(listener: ChangeListener<T>): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  apply(event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') return;
    if (event.type === 'DELETED') this.#notify(this.#remove(objectKey(event.object)));
    else this.#notify(this.#put(event.object));
  }

  /** The whole truth at once: what is not in `items` is gone. */
  replaceAll(items: readonly Stored<T>[]): void {
    const present = new Set(items.map((item) => objectKey(item)));
    const gone = [...this.#objects.keys()].filter((key) => !present.has(key));
    const changes = [...gone.map((key) => this.#remove(key)), ...items.map((item) => this.#put(item))];
    for (const change of changes) this.#notify(change);
  }

  #put(object: Stored<T>): Change<T>[] {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    const isSameObject = old?.metadata.uid === object.metadata.uid;
    if (old && isSameObject && old.metadata.resourceVersion === object.metadata.resourceVersion) return [];
    if (old) this.#detach(old);
    const next = deepFreeze(object);
    this.#objects.set(key, next);
    this.#byUid.set(next.metadata.uid, next);
    for (const { keysOf, objects } of this.#indexes.values()) {
      for (const indexKey of this.#guarded(() => keysOf(next)) ?? []) {
        const bucket = objects.get(indexKey);
        if (bucket) bucket.set(key, next);
        else objects.set(indexKey, new Map([[key, next]]));
      }
    }
    if (old && !isSameObject) return [{ old }, { next }];
    return [old ? { old, next } : { next }];
  }

  #remove(key: ObjectKey): Change<T>[] {
    const old = this.#objects.get(key);
    if (!old) return [];
    this.#detach(old);
    this.#objects.delete(key);
    return [{ old }];
  }

  #detach(object: Stored<T>): void {
    const key = objectKey(object);
    this.#byUid.delete(object.metadata.uid);
    for (const { keysOf, objects } of this.#indexes.values()) {
      for (const indexKey of this.#guarded(() => keysOf(object)) ?? []) {
        const bucket = objects.get(indexKey);
        bucket?.delete(key);
        if (bucket?.size === 0) objects.delete(indexKey);
      }
    }
  }

  #notify(changes: Change<T>[]): void {
    for (const { old, next } of changes) {
      for (const listener of this.#listeners) {
        this.#guarded(() => listener(old, next));
      }
    }
  }

  #guarded<R>(call: () => R): R | undefined {
    try {
      return call();
    } catch (error) {
      this.#deps.onError(error);
      return undefined;
    }
  }

  #index(name: string): Index<T> {
    const index = this.#indexes.get(name);
    if (!index) throw new Error(`the store has no index "${name}"; it has: ${[...this.#indexes.keys()].join(', ')}`);
    return index;
  }
}

type Bucket<T extends KubeObject> = Map<ObjectKey, Stored<T>>;

interface Index<T extends KubeObject> {
  keysOf: IndexFunction<T>;
  objects: Map<string, Bucket<T>>;
}

interface Change<T extends KubeObject> {
  old?: Stored<T>;
  next?: Stored<T>;
}

function deepFreeze<V>(value: V): V {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}
