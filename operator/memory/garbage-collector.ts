import type { Clock } from '../engine/clock.ts';
import type { ObjectMeta, Resource } from '../engine/kube-client.ts';
import type { Change, VersionedStore } from './versioned-store.ts';

interface Dependent {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * Background deletion of what nobody owns any more, by uid, a moment after the owner went. An owner of a kind that was never stored
 * here is left alone: it cannot be told from one that exists.
 */
export class GarbageCollector {
  readonly #clock: Clock;
  readonly #store: () => VersionedStore;
  readonly #delayMs: number;
  readonly #liveUids = new Set<string>();
  readonly #knownKinds = new Set<string>();
  readonly #dependents = new Map<string, Map<string, Dependent>>();

  constructor(deps: { clock: Clock; store: () => VersionedStore }, delayMs: number) {
    this.#clock = deps.clock;
    this.#store = deps.store;
    this.#delayMs = delayMs;
  }

  observe({ resource, type, object, previous }: Change): void {
    const { uid, namespace = '', name } = object.metadata;
    const kept = type === 'DELETED' ? undefined : object.metadata;
    if (previous?.metadata.ownerReferences !== kept?.ownerReferences) {
      for (const owner of previous?.metadata.ownerReferences ?? []) this.#forget(owner.uid, uid);
      for (const owner of kept?.ownerReferences ?? []) {
        this.#dependentsOf(owner.uid).set(uid, { resource, namespace, name, uid });
      }
      if (kept && this.#absentOwners(kept).size > 0) this.#schedule([{ resource, namespace, name, uid }]);
    }
    if (type === 'ADDED') {
      this.#liveUids.add(uid);
      this.#knownKinds.add(`${object.apiVersion}/${object.kind}`);
    }
    if (type === 'DELETED') {
      this.#liveUids.delete(uid);
      this.#schedule([...(this.#dependents.get(uid)?.values() ?? [])]);
    }
  }

  #schedule(dependents: readonly Dependent[]): void {
    if (dependents.length === 0) return;
    this.#clock.after(this.#delayMs, () => {
      for (const dependent of dependents) this.#collect(dependent);
    });
  }

  #collect({ resource, namespace, name, uid }: Dependent): void {
    const store = this.#store();
    const object = store.find(resource, namespace, name);
    if (object?.metadata.uid !== uid) return;
    const owners = object.metadata.ownerReferences ?? [];
    const absent = this.#absentOwners(object.metadata);
    if (absent.size === 0) return;
    if (absent.size === owners.length) return store.delete(resource, namespace, name, { uid });
    const remaining = owners.filter((owner) => !absent.has(owner.uid));
    store.patch(resource, namespace, name, { metadata: { ownerReferences: remaining } });
  }

  #absentOwners(metadata: ObjectMeta): Set<string> {
    const absent = (metadata.ownerReferences ?? []).filter(
      (owner) => !this.#liveUids.has(owner.uid) && this.#knownKinds.has(`${owner.apiVersion}/${owner.kind}`),
    );
    return new Set(absent.map((owner) => owner.uid));
  }

  #dependentsOf(ownerUid: string): Map<string, Dependent> {
    let dependents = this.#dependents.get(ownerUid);
    if (dependents === undefined) this.#dependents.set(ownerUid, (dependents = new Map()));
    return dependents;
  }

  #forget(ownerUid: string, dependentUid: string): void {
    const dependents = this.#dependents.get(ownerUid);
    dependents?.delete(dependentUid);
    if (dependents?.size === 0) this.#dependents.delete(ownerUid);
  }
}
