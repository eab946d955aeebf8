import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { StoredPod } from '../core/pod-view.ts';

/** A released instance that is kept for the next claim of exactly the same function, env and tenant. */
export interface IdleInstance {
  readonly uid: PodUid;
  readonly pod: StoredPod;
  readonly node: string;
  readonly epoch: string;
  /** The claim id that it was loaded for. */
  readonly loadedAs: string;
  /** The claim id that its pod still carries. */
  readonly releasedClaimId: string;
  readonly address: { host: string; port: number; url: string };
  /** Pool and private fingerprint: what a claim must match. */
  readonly reuseKey: string;
  readonly readyAtUnixMs: number;
  readonly untilUnixMs: number;
}

export class IdleInstances {
  readonly #byKey = new Map<string, Map<PodUid, IdleInstance>>();
  readonly #byUid = new Map<PodUid, IdleInstance>();

  add(instance: IdleInstance): void {
    const alike = this.#byKey.get(instance.reuseKey) ?? new Map<PodUid, IdleInstance>();
    alike.set(instance.uid, instance);
    this.#byKey.set(instance.reuseKey, alike);
    this.#byUid.set(instance.uid, instance);
  }

  /** The one used last: the warmest. It is the caller's from then on. */
  take(reuseKey: string): IdleInstance | undefined {
    const newest = [...(this.#byKey.get(reuseKey)?.values() ?? [])].at(-1);
    if (newest !== undefined) this.remove(newest.uid);
    return newest;
  }

  get(uid: PodUid): IdleInstance | undefined {
    return this.#byUid.get(uid);
  }

  remove(uid: PodUid): void {
    const instance = this.#byUid.get(uid);
    if (instance === undefined) return;
    this.#byUid.delete(uid);
    const alike = this.#byKey.get(instance.reuseKey);
    alike?.delete(uid);
    if (alike?.size === 0) this.#byKey.delete(instance.reuseKey);
  }

  clear(): void {
    this.#byKey.clear();
    this.#byUid.clear();
  }
}
