import type { Clock } from './clock.ts';
import { isKubeError, type KubeClient, type KubeObject, type Resource, type Stored } from './kube-client.ts';
import { microTime } from './kube-time.ts';

export const LEASES_RESOURCE: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
};

interface Lease extends KubeObject {
  spec?: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}

/** Stands for the version of a lease that was there and is not any more. */
const GONE = '';

export interface LeaseTarget {
  namespace: string;
  name: string;
  /** Of this process alone: not the pod's name, which a restarted container keeps. */
  identity: string;
}

export interface HeldLease {
  number: number;
  resourceVersion: string;
}

/** Reads and writes one Lease object. Every write has the version it was based on as a precondition. */
export class LeaseRecord {
  readonly #deps: { client: KubeClient; clock: Clock };
  readonly #options: LeaseTarget & { leaseDurationMs: number };
  /** A lease that somebody deletes must not make terms start over. */
  #highestTerm = 0;
  /** The lease as this process last saw it change, by its own clock. */
  #seen: { resourceVersion: string; atMs: number; holder: string } | undefined;

  constructor(deps: { client: KubeClient; clock: Clock }, options: LeaseTarget & { leaseDurationMs: number }) {
    this.#deps = deps;
    this.#options = options;
  }

  get holder(): string | undefined {
    return this.#seen?.holder;
  }

  /** Undefined when somebody else holds it. Rejects with 409 when somebody else was faster. */
  async acquire(signal: AbortSignal): Promise<HeldLease | undefined> {
    const lease = await this.#read(signal);
    if (!this.#isFree(lease)) return undefined;
    const term = ++this.#highestTerm;
    if (!lease) return { number: term, resourceVersion: await this.#create(term, signal) };
    const written = await this.#patch(lease.metadata.resourceVersion, this.#holding(term), signal);
    return { number: term, resourceVersion: written.metadata.resourceVersion };
  }

  /** The new version; undefined when the lease is no longer ours. */
  async renew(held: HeldLease, signal: AbortSignal): Promise<string | undefined> {
    return this.#patchOurs(held, { renewTime: microTime(this.#deps.clock.now()) }, signal);
  }

  async release(held: HeldLease, signal: AbortSignal): Promise<void> {
    await this.#patchOurs(held, { holderIdentity: '', leaseDurationSeconds: 1 }, signal);
  }

  async #read(signal: AbortSignal): Promise<Stored<Lease> | undefined> {
    const { client, clock } = this.#deps;
    const { namespace, name } = this.#options;
    try {
      const lease = await client.get<Lease>(LEASES_RESOURCE, namespace, name, { signal });
      this.#see(lease);
      return lease;
    } catch (error) {
      if (!isKubeError(error, 404)) throw error;
      // Whoever held it does not know yet that it is gone.
      if (this.#seen && this.#seen.resourceVersion !== GONE) {
        this.#seen = { resourceVersion: GONE, atMs: clock.monotonic(), holder: this.#seen.holder };
      }
      return undefined;
    }
  }

  #see(lease: Stored<Lease>): void {
    const { resourceVersion } = lease.metadata;
    this.#highestTerm = Math.max(this.#highestTerm, lease.spec?.leaseTransitions ?? 0);
    if (this.#seen?.resourceVersion === resourceVersion) return;
    const holder = lease.spec?.holderIdentity ?? '';
    this.#seen = { resourceVersion, atMs: this.#deps.clock.monotonic(), holder };
  }

  #isFree(lease: Stored<Lease> | undefined): boolean {
    if (!this.#seen || this.#seen.holder === '') return true;
    // Also when it names us: an earlier term of ours that nobody renews, or an acquisition whose answer was lost.
    if (this.#seen.holder === this.#options.identity) return true;
    const durationMs = Math.max(this.#options.leaseDurationMs, (lease?.spec?.leaseDurationSeconds ?? 0) * 1000);
    return this.#deps.clock.monotonic() - this.#seen.atMs >= durationMs;
  }

  #isOurs(lease: Stored<Lease>, held: HeldLease): boolean {
    return lease.spec?.holderIdentity === this.#options.identity && lease.spec.leaseTransitions === held.number;
  }

  async #create(term: number, signal: AbortSignal): Promise<string> {
    const { namespace, name } = this.#options;
    const lease: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: this.#holding(term),
    };
    const created = await this.#deps.client.create<Lease>(LEASES_RESOURCE, namespace, lease, { signal });
    this.#see(created);
    return created.metadata.resourceVersion;
  }

  async #patchOurs(held: HeldLease, spec: Lease['spec'], signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await this.#patch(held.resourceVersion, spec, signal)).metadata.resourceVersion;
    } catch (error) {
      if (!isKubeError(error, 409) && !isKubeError(error, 404)) throw error;
    }
    // Changed since: by an earlier renewal of ours whose answer was lost or not waited for, by somebody's label, or by a new holder.
    const lease = await this.#read(signal);
    if (!lease || !this.#isOurs(lease, held)) return undefined;
    return (await this.#patch(lease.metadata.resourceVersion, spec, signal)).metadata.resourceVersion;
  }

  async #patch(resourceVersion: string, spec: Lease['spec'], signal: AbortSignal): Promise<Stored<Lease>> {
    const { namespace, name } = this.#options;
    const patch = { metadata: { resourceVersion }, spec };
    const written = await this.#deps.client.patch<Lease>(LEASES_RESOURCE, namespace, name, patch, { signal });
    this.#see(written);
    return written;
  }

  #holding(term: number): NonNullable<Lease['spec']> {
    const { identity, leaseDurationMs } = this.#options;
    const time = microTime(this.#deps.clock.now());
    return {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
      acquireTime: time,
      renewTime: time,
      leaseTransitions: term,
    };
  }
}
