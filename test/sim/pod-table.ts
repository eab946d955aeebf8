import type { StoredPod } from '@warmpool/operator/core/pod-view.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';

/** The pods as they are now, by uid: many ask after each change. */
export class PodTable {
  readonly #byUid = new Map<string, StoredPod>();
  readonly #everSeen = new Set<string>();

  constructor(cluster: MemoryCluster) {
    cluster.onChange(({ resource, type, object }) => {
      if (resource.plural !== 'pods') return;
      const { uid } = object.metadata;
      this.#everSeen.add(uid);
      if (type === 'DELETED') this.#byUid.delete(uid);
      else this.#byUid.set(uid, object as StoredPod);
    });
  }

  get(uid: string): StoredPod | undefined {
    return this.#byUid.get(uid);
  }

  all(): Iterable<StoredPod> {
    return this.#byUid.values();
  }

  /** Uids of pods that are there no more. */
  gone(): string[] {
    return [...this.#everSeen].filter((uid) => !this.#byUid.has(uid));
  }
}
