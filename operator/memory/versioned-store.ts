import type { Clock } from '../engine/clock.ts';
import {
  type DeleteOptions,
  KubeError,
  type KubeObject,
  type ObjectMeta,
  type Resource,
  type Stored,
} from '../engine/kube-client.ts';
import type { Random } from '../engine/random.ts';
import { alreadyExists, badRequest, conflict, invalid, noSuchResource, notFound } from './api-errors.ts';
import { planDeletion } from './deletion.ts';
import { equalJson, frozenCopy, type JsonObject, withMembers } from './json.ts';
import { type Admission, rulesOf } from './kind-rules.ts';
import { patched } from './patching.ts';
import { metadataProblems, metadataUpdateProblems } from './metadata-rules.ts';
import { apiTime, randomSuffix, randomUid } from './server-fields.ts';

export type StoredObject = Stored<KubeObject>;

export interface Change {
  readonly resource: Resource;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly version: number;
  readonly object: StoredObject;
  readonly previous: StoredObject | undefined;
}

export interface VersionedStoreDeps {
  clock: Clock;
  random: Random;
  /** Called inside the write, after it can be read: must not write itself. */
  onChange: (change: Change) => void;
}

/** The transactional heart: every method is one atomic step, takes effect before it returns, and throws what an apiserver answers. */
export class VersionedStore {
  readonly #deps: VersionedStoreDeps;
  readonly #kinds = new Map<string, Map<string, StoredObject>>();
  /** As etcd: one counter for everything. */
  #version = 1;

  constructor(deps: VersionedStoreDeps) {
    this.#deps = deps;
  }

  get version(): number {
    return this.#version;
  }

  /** In the order of namespace and name, as an apiserver lists. */
  all(resource: Resource): StoredObject[] {
    return [...this.#kind(resource)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
  }

  find(resource: Resource, namespace: string, name: string): StoredObject | undefined {
    return this.#kind(resource).get(`${namespace}/${name}`);
  }

  get(resource: Resource, namespace: string, name: string): StoredObject {
    if (name === '') throw invalid(resource, '', ['metadata.name: Invalid value: "": must be a name']);
    const object = this.find(resource, namespace, name);
    if (object === undefined) throw notFound(resource, name);
    return object;
  }

  create(resource: Resource, namespace: string, input: KubeObject): StoredObject {
    const object = frozenCopy(input);
    const given = object.metadata;
    if (given.resourceVersion) {
      throw new KubeError(500, 'InternalError', 'resourceVersion should not be set on objects to be created');
    }
    if (given.namespace !== undefined && given.namespace !== namespace) {
      throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
    }
    const name = given.name || (given.generateName ? `${given.generateName}${randomSuffix(this.#deps.random)}` : '');
    if (name === '') throw invalid(resource, '', ['metadata.name: Required value: name or generateName is required']);
    const existing = this.find(resource, namespace, name);
    if (existing) throw alreadyExists(resource, name, existing.metadata.deletionTimestamp !== undefined);

    const rules = rulesOf(resource);
    const metadata = compact({
      ...given,
      ...NOT_KEPT,
      name,
      namespace,
      uid: randomUid(this.#deps.random),
      creationTimestamp: apiTime(this.#deps.clock.now()),
      deletionTimestamp: undefined,
      generation: rules.hasGeneration ? 1 : undefined,
    });
    const version = resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
    const complete = { ...object, apiVersion: version, kind: resource.kind, metadata };
    const admission = rules.admitCreate?.(complete) ?? { object: complete, problems: [] };
    this.#refuse(resource, name, [...metadataProblems(metadata), ...admission.problems]);
    return this.#commit(resource, 'ADDED', admission.object, undefined);
  }

  patch(resource: Resource, namespace: string, name: string, patch: object): StoredObject {
    const rules = rulesOf(resource);
    return this.#update(resource, namespace, name, patch, (before, merged) => {
      const after = rules.hasStatus ? withMembers(merged, { status: before['status'] }) : merged;
      return rules.admitUpdate?.(before, after) ?? { object: after, problems: [] };
    });
  }

  patchStatus(resource: Resource, namespace: string, name: string, patch: object): StoredObject {
    const rules = rulesOf(resource);
    if (!rules.hasStatus) throw noSuchResource();
    return this.#update(resource, namespace, name, patch, (before, merged) => {
      const status = merged['status'];
      const after = rules.statusCarriesMetadata
        ? withMembers(before, { status, metadata: merged['metadata'] })
        : withMembers(before, { status });
      return rules.admitStatus?.(after) ?? { object: after, problems: [] };
    });
  }

  delete(resource: Resource, namespace: string, name: string, options: DeleteOptions): void {
    const object = this.get(resource, namespace, name);
    const { uid, resourceVersion } = object.metadata;
    if (options.uid !== undefined && options.uid !== uid) {
      throw conflict(resource, name, preconditionFailed('UID', options.uid, uid));
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== resourceVersion) {
      throw conflict(resource, name, preconditionFailed('ResourceVersion', options.resourceVersion, resourceVersion));
    }
    const plan = planDeletion(object, rulesOf(resource), options.gracePeriodSeconds, this.#deps.clock.now());
    const last = plan.marked ? this.#commit(resource, 'MODIFIED', plan.marked, object) : object;
    if (plan.isRemoved) this.#commit(resource, 'DELETED', last, last);
  }

  #update(
    resource: Resource,
    namespace: string,
    name: string,
    patch: object,
    admit: (before: JsonObject, merged: JsonObject) => Admission,
  ): StoredObject {
    const before = this.get(resource, namespace, name);
    const merged = patched(resource, before, patch);
    if (merged === before) return before;
    const admission = admit(before as StoredObject & JsonObject, merged);
    const metadata = keptFields(before.metadata, admission.object['metadata'] as ObjectMeta);
    const after = withMembers(admission.object, { metadata });
    if (equalJson(after, before)) return before;
    this.#refuse(resource, name, [...admission.problems, ...metadataUpdateProblems(before.metadata, metadata)]);
    const isNewGeneration = rulesOf(resource).hasGeneration && !sameSpec(before as StoredObject & JsonObject, after);
    const generation = (metadata.generation ?? 0) + 1;
    const next = isNewGeneration ? withMembers(after, { metadata: Object.freeze({ ...metadata, generation }) }) : after;
    return this.#commit(resource, isFinished(metadata) ? 'DELETED' : 'MODIFIED', next, before);
  }

  #commit(
    resource: Resource,
    type: Change['type'],
    object: JsonObject | StoredObject,
    previous: StoredObject | undefined,
  ): StoredObject {
    this.#version += 1;
    const metadata = Object.freeze({ ...(object.metadata as ObjectMeta), resourceVersion: String(this.#version) });
    const stored = Object.freeze({ ...object, metadata }) as StoredObject;
    const key = `${metadata.namespace}/${metadata.name}`;
    if (type === 'DELETED') this.#kind(resource).delete(key);
    else this.#kind(resource).set(key, stored);
    this.#deps.onChange({ resource, type, version: this.#version, object: stored, previous });
    return stored;
  }

  #refuse(resource: Resource, name: string, problems: readonly string[]): void {
    if (problems.length > 0) throw invalid(resource, name, problems);
  }

  #kind(resource: Resource): Map<string, StoredObject> {
    const id = `${resource.plural}.${resource.group}`;
    let objects = this.#kinds.get(id);
    if (objects === undefined) this.#kinds.set(id, (objects = new Map()));
    return objects;
  }
}

/** Fields that are the server's own: what a patch says about them is a precondition or nothing. */
function keptFields(before: ObjectMeta, after: ObjectMeta): ObjectMeta {
  const { uid, resourceVersion, generation, creationTimestamp, namespace, name } = before;
  return compact({ ...after, ...NOT_KEPT, uid, resourceVersion, generation, creationTimestamp, namespace, name });
}

/** An apiserver's account of who set what, which it keeps unless it is told not to, as `claimStandby` does. Here there is none. */
const NOT_KEPT = { managedFields: undefined };

/** The wire form leaves empty maps and lists out, so setting one is no change. */
function compact(metadata: ObjectMeta | Record<string, unknown>): ObjectMeta {
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(metadata) as [string, unknown][]) {
    if (value === undefined) continue;
    if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) continue;
    result[key] = value;
  }
  return Object.freeze(result) as unknown as ObjectMeta;
}

function sameSpec(before: JsonObject, after: JsonObject): boolean {
  const ignored = { metadata: undefined, status: undefined };
  return before['spec'] === after['spec'] || equalJson(withMembers(before, ignored), withMembers(after, ignored));
}

/** Deletion had begun, its grace period is over, and the last finalizer has just gone. */
function isFinished(metadata: ObjectMeta & { deletionGracePeriodSeconds?: number }): boolean {
  const isWaiting = (metadata.finalizers?.length ?? 0) > 0 || (metadata.deletionGracePeriodSeconds ?? 0) > 0;
  return metadata.deletionTimestamp !== undefined && !isWaiting;
}

function preconditionFailed(field: string, wanted: string, actual: string): string {
  return `Precondition failed: ${field} in precondition: ${wanted}, ${field} in object meta: ${actual}`;
}
