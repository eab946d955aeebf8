import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { StoredPod } from '../core/pod-view.ts';

/** A standby pod that a claim may take: its object as last seen, and the process that is waiting in it. */
export interface Candidate {
  readonly uid: PodUid;
  readonly node: string;
  readonly epoch: string;
  /** Made from the pool's template as it is now, with the packages that it names. */
  readonly isUpdated: boolean;
  readonly pod: StoredPod;
}

/**
 * The standby pods that can be claimed now, by pool and node. A pod leaves the index when it is reserved and comes back only if
 * whoever reserved it says that nothing was written and nothing was sent; once retired it never comes back.
 * Picking costs the same whatever the size of the pool.
 */
export class StandbyIndex {
  readonly #pools = new Map<string, PoolCandidates>();
  readonly #poolOf = new Map<PodUid, string>();
  readonly #reserved = new Set<PodUid>();
  readonly #retired = new Set<PodUid>();
  readonly #exists: (uid: PodUid) => boolean;

  constructor(exists: (uid: PodUid) => boolean = () => true) {
    this.#exists = exists;
  }

  /** True when the pod was not there before: a claim that waits may have it. */
  offer(pool: string, candidate: Candidate): boolean {
    const { uid } = candidate;
    if (this.#reserved.has(uid) || this.#retired.has(uid)) return false;
    const isNew = !this.#poolOf.has(uid);
    this.#withdraw(uid);
    this.#candidates(pool).put(candidate);
    this.#poolOf.set(uid, pool);
    return isNew;
  }

  /** The pod is no longer standby in the eyes of the apiserver or of its node. */
  withdraw(uid: PodUid): void {
    this.#withdraw(uid);
  }

  /** Takes the best pod out: on a node that has the code already, else spread over the nodes; among these, one of the pool's present template. */
  reserve(pool: string, nodesWithCode: ReadonlySet<string> | undefined): Candidate | undefined {
    const candidate = this.#pools.get(pool)?.take(nodesWithCode);
    if (candidate === undefined) return undefined;
    this.#poolOf.delete(candidate.uid);
    this.#reserved.add(candidate.uid);
    return candidate;
  }

  /** For removals: takes this very pod out of reach of claims. False when a claim was faster. */
  reserveExactly(uid: PodUid): boolean {
    if (this.#reserved.has(uid)) return false;
    this.#withdraw(uid);
    this.#reserved.add(uid);
    return true;
  }

  /** Nothing was written and nothing was sent: the pod may be offered again. */
  unreserve(uid: PodUid): void {
    this.#reserved.delete(uid);
  }

  /** Never offer this pod again, whatever caches say. */
  retire(uid: PodUid): void {
    this.#withdraw(uid);
    this.#reserved.delete(uid);
    // of a pod that is gone already nobody would say again that it may be forgotten
    if (this.#exists(uid)) this.#retired.add(uid);
  }

  /** The pod object is gone for good. */
  forget(uid: PodUid): void {
    this.#withdraw(uid);
    this.#reserved.delete(uid);
    this.#retired.delete(uid);
  }

  isReserved(uid: PodUid): boolean {
    return this.#reserved.has(uid);
  }

  isRetired(uid: PodUid): boolean {
    return this.#retired.has(uid);
  }

  isOffered(uid: PodUid): boolean {
    return this.#poolOf.has(uid);
  }

  size(pool: string): number {
    return this.#pools.get(pool)?.size ?? 0;
  }

  #candidates(pool: string): PoolCandidates {
    let candidates = this.#pools.get(pool);
    if (candidates === undefined) this.#pools.set(pool, (candidates = new PoolCandidates()));
    return candidates;
  }

  #withdraw(uid: PodUid): void {
    const pool = this.#poolOf.get(uid);
    if (pool === undefined) return;
    this.#poolOf.delete(uid);
    const candidates = this.#pools.get(pool);
    candidates?.remove(uid);
    if (candidates?.size === 0) this.#pools.delete(pool);
  }
}

/** One pool's candidates. While a changed template rolls, those of the old one come second. */
class PoolCandidates {
  readonly #updated = new NodeRotation();
  readonly #outdated = new NodeRotation();

  get size(): number {
    return this.#updated.size + this.#outdated.size;
  }

  put(candidate: Candidate): void {
    (candidate.isUpdated ? this.#updated : this.#outdated).put(candidate);
  }

  remove(uid: PodUid): void {
    this.#updated.remove(uid);
    this.#outdated.remove(uid);
  }

  take(preferred: ReadonlySet<string> | undefined): Candidate | undefined {
    return (
      this.#updated.takeOn(preferred) ??
      this.#outdated.takeOn(preferred) ??
      this.#updated.takeNext() ??
      this.#outdated.takeNext()
    );
  }
}

/** Candidates per node in order of arrival, the nodes in rotation. */
class NodeRotation {
  readonly #byNode = new Map<string, Map<PodUid, Candidate>>();
  readonly #nodeOf = new Map<PodUid, string>();

  get size(): number {
    return this.#nodeOf.size;
  }

  put(candidate: Candidate): void {
    let onNode = this.#byNode.get(candidate.node);
    if (onNode === undefined) this.#byNode.set(candidate.node, (onNode = new Map()));
    onNode.set(candidate.uid, candidate);
    this.#nodeOf.set(candidate.uid, candidate.node);
  }

  remove(uid: PodUid): void {
    const node = this.#nodeOf.get(uid);
    if (node === undefined) return;
    this.#nodeOf.delete(uid);
    const onNode = this.#byNode.get(node);
    onNode?.delete(uid);
    if (onNode?.size === 0) this.#byNode.delete(node);
  }

  takeOn(preferred: ReadonlySet<string> | undefined): Candidate | undefined {
    return this.#takeFrom(this.#preferredNode(preferred));
  }

  takeNext(): Candidate | undefined {
    return this.#takeFrom(first(this.#byNode.keys()));
  }

  #takeFrom(node: string | undefined): Candidate | undefined {
    const onNode = node === undefined ? undefined : this.#byNode.get(node);
    const candidate = onNode === undefined ? undefined : first(onNode.values());
    if (node === undefined || onNode === undefined || candidate === undefined) return undefined;
    this.remove(candidate.uid);
    // the node goes to the back of the rotation
    if (this.#byNode.delete(node)) this.#byNode.set(node, onNode);
    return candidate;
  }

  /** Looks through the smaller of the two, so that a digest that is everywhere, or a pool that is, costs nothing. */
  #preferredNode(preferred: ReadonlySet<string> | undefined): string | undefined {
    if (preferred === undefined) return undefined;
    // in rotation, where that is no more to look at
    if (this.#byNode.size <= preferred.size) return first(this.#byNode.keys(), (node) => preferred.has(node));
    return first(preferred, (node) => this.#byNode.has(node));
  }
}

function first<T>(values: Iterable<T>, isRight: (value: T) => boolean = () => true): T | undefined {
  for (const value of values) if (isRight(value)) return value;
  return undefined;
}
