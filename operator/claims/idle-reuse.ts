import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { ANNOTATION_IDLE_UNTIL } from '@warmpool/protocol/names.ts';
import type { Clock } from '../engine/clock.ts';
import type { KubeClient, OwnerReference } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import { claimIdle } from '../core/pod-transitions.ts';
import { isTerminating, type StoredPod } from '../core/pod-view.ts';
import { PODS, type Pod } from '../core/resources.ts';
import { WRITE_TIMEOUT_MS } from '../core/write-limits.ts';
import { notLeader } from '../errors.ts';
import type { ClaimLedger, LedgerEntry } from './claim-ledger.ts';
import { IdleInstances, type IdleInstance } from './idle-instances.ts';
import type { NodeView } from './node-view.ts';
import type { Retirement } from './retirement.ts';

export interface IdleReuseDeps {
  clock: Clock;
  kube: KubeClient;
  nodes: NodeView;
  pods: ObjectStore<Pod>;
  ledger: ClaimLedger;
  retirement: Retirement;
  servingTerm(): number | undefined;
  log: Log;
}

export interface ReusedInstance {
  uid: PodUid;
  pod: StoredPod;
  node: string;
  epoch: string;
  address: IdleInstance['address'];
  phases: { writeMs: number; fetchMs: 0; unpackMs: 0; mountMs: 0; loadMs: 0; importMs: 0 };
  readyAtUnixMs: number;
}

/** Keeps released instances warm and gives them to the next claim of exactly the same function, env and tenant. */
export class IdleReuse {
  readonly instances = new IdleInstances();
  readonly #deps: IdleReuseDeps;

  constructor(deps: IdleReuseDeps) {
    this.#deps = deps;
  }

  /** True when the pod's object says that it idles, so that it ends in time whatever happens to this process. */
  async keep(entry: LedgerEntry, pod: StoredPod, keepWarmMs: number): Promise<boolean> {
    const { address } = entry.claim;
    const report = this.#deps.nodes.currentReport(pod.metadata.uid as PodUid);
    // the node's word that the load is over may still be on its way here
    const isAlive = report?.epoch === entry.epoch && (report?.state === 'ready' || report?.state === 'loading');
    if (entry.privateFingerprint === undefined || address === undefined || report === undefined || !isAlive)
      return false;
    const untilUnixMs = this.#deps.clock.now() + keepWarmMs;
    try {
      const annotations = { [ANNOTATION_IDLE_UNTIL]: new Date(untilUnixMs).toISOString() };
      const written = await this.#deps.kube.patch<Pod>(PODS, entry.namespace, pod.metadata.name, {
        metadata: { uid: pod.metadata.uid, annotations },
      });
      // another term may have begun meanwhile, in which the claim is ready again
      if (this.#deps.servingTerm() !== entry.term) return false;
      this.instances.add({
        uid: report.podUid,
        pod: written,
        node: report.node,
        epoch: report.epoch,
        loadedAs: report.claimId ?? entry.claimId,
        releasedClaimId: entry.claimId,
        address,
        reuseKey: reuseKey(`${entry.namespace}/${entry.pool}`, entry.privateFingerprint),
        readyAtUnixMs: entry.readyAtUnixMs ?? this.#deps.clock.now(),
        untilUnixMs,
      });
      return true;
    } catch (error) {
      this.#deps.log.warn(
        { pod: pod.metadata.name, err: error },
        'keeping the instance warm failed; it is deleted instead',
      );
      return false;
    }
  }

  /** One conditional write and no load; an idle instance for which it fails is deleted, never tried again. */
  async reuse(
    pool: string,
    entry: LedgerEntry,
    record: () => ClaimRecord,
    owner: OwnerReference | undefined,
  ): Promise<ReusedInstance | undefined> {
    if (entry.privateFingerprint === undefined) return undefined;
    for (;;) {
      const idle = this.instances.take(reuseKey(pool, entry.privateFingerprint));
      if (idle === undefined) return undefined;
      const startedMs = this.#deps.clock.monotonic();
      // in hand from here on: nobody else may end it while it is written
      this.#deps.ledger.bind(entry, idle.uid);
      const pod = await this.#write(idle, entry, record(), owner);
      if (pod === undefined) {
        this.#deps.ledger.unbind(entry);
        continue;
      }
      const writeMs = this.#deps.clock.monotonic() - startedMs;
      const phases = { writeMs, fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: 0, importMs: 0 } as const;
      return {
        uid: idle.uid,
        pod,
        node: idle.node,
        epoch: idle.epoch,
        address: idle.address,
        phases,
        readyAtUnixMs: idle.readyAtUnixMs,
      };
    }
  }

  async #write(
    idle: IdleInstance,
    entry: LedgerEntry,
    record: ClaimRecord,
    owner: OwnerReference | undefined,
  ): Promise<StoredPod | undefined> {
    const report = this.#deps.nodes.currentReport(idle.uid);
    const isAlive =
      report?.state === 'ready' && report.epoch === idle.epoch && this.#deps.clock.now() < idle.untilUnixMs;
    if (isAlive) {
      const { namespace = '', name, uid } = idle.pod.metadata;
      const patch = claimIdle(uid, idle.releasedClaimId, { ...record, loadedAs: idle.loadedAs }, owner);
      try {
        const pod = await this.#deps.kube.patch<Pod>(PODS, namespace, name, patch, { timeoutMs: WRITE_TIMEOUT_MS });
        if (!isTerminating(pod)) return pod;
      } catch (error) {
        this.#deps.log.warn({ pod: name, err: error }, 'reusing an idle instance failed');
      }
    }
    // whose it is, who leads now decides from its record
    if (this.#deps.servingTerm() !== entry.term) throw notLeader();
    await this.#deps.retirement.retire(idle.pod, 'an idle instance that could not be reused');
    return undefined;
  }
}

function reuseKey(pool: string, fingerprint: string): string {
  return `${pool}\n${fingerprint}`;
}
