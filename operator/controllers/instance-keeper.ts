import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { PodReport } from '@warmpool/protocol/host-agent-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { LABEL_POOL } from '@warmpool/protocol/names.ts';
import type { Clock } from '../engine/clock.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import { hasEnded, judgeInstance, wasSettled, type InstanceFacts } from '../core/judge-instance.ts';
import {
  claimRecordOf,
  containerTrouble,
  idleUntilOf,
  isClaimed,
  isFinished,
  isRetiredLabelled,
  isTerminating,
  podTrouble,
  type StoredPod,
} from '../core/pod-view.ts';
import type { Pod } from '../core/resources.ts';
import { isNodeLost } from '../core/stall.ts';
import { claimError } from '../errors.ts';
import { endRecovery, newEntry, type ClaimLedger, type LedgerEntry } from '../claims/claim-ledger.ts';
import type { IdleInstances } from '../claims/idle-instances.ts';
import type { NodeView } from '../claims/node-view.ts';
import type { Retirement } from '../claims/retirement.ts';

export interface InstanceKeeperDeps {
  clock: Clock;
  pods: ObjectStore<Pod>;
  nodes: NodeView;
  ledger: ClaimLedger;
  idle: IdleInstances;
  retirement: Retirement;
  log: Log;
}

/** A claim whose instance died is remembered as such, so that a retry is told instead of starting a second instance. */
const LOST_KEEP_MS = 10 * 60_000;
const RETRY_MS = 1_000;

/**
 * Watches over claimed pods until their end: time to live, idleness, death, and pods that no claim has because an operator crashed
 * between two steps. Also takes claims over from the pods when this process starts to lead.
 */
export class InstanceKeeper {
  readonly #deps: InstanceKeeperDeps;
  /** When each process that has ended was first heard to have. */
  readonly #endHeardUnixMs = new Map<PodUid, number>();
  /** Since when the node of each pod is heard and says nothing of it. */
  readonly #unknownSinceUnixMs = new Map<PodUid, number>();
  #recoveringSinceUnixMs: number | undefined;

  constructor(deps: InstanceKeeperDeps) {
    this.#deps = deps;
    deps.pods.onChange((before, after) => {
      if (after === undefined && before !== undefined) this.#onGone(before);
    });
  }

  /** Before claims are served: every claim that a pod carries is known again, so that its retry finds it. */
  adoptAll(term: number): void {
    this.#recoveringSinceUnixMs = this.#deps.clock.now();
    const claimed = this.#deps.pods.list().filter((pod) => isClaimed(pod) && !isTerminating(pod));
    // of the pods that one claim has tried, the instance is one that was loaded and lives, and not one that was tried before it
    claimed.sort((a, b) => this.#standing(b) - this.#standing(a) || triedAt(b) - triedAt(a));
    for (const pod of claimed) this.#adopt(pod, term);
  }

  /** One look at one claimed pod. Returns when to look again, if nothing happens before. */
  async reconcile(pod: StoredPod): Promise<number | undefined> {
    const { retirement, clock, log } = this.#deps;
    const uid = pod.metadata.uid as PodUid;
    if (retirement.isUnderWay(uid)) return undefined;
    if (isRetiredLabelled(pod) && !isTerminating(pod)) {
      await retirement.retire(pod, 'the pool removed it');
      return RETRY_MS;
    }
    if (!isClaimed(pod)) return undefined;
    const entry = this.#deps.ledger.ofPod(uid);
    if (isTerminating(pod)) {
      if (entry !== undefined) this.#lose(entry, 'its pod was deleted');
      this.#deps.idle.remove(uid);
      return undefined;
    }
    const record = claimRecordOf(pod);
    if (this.#isInHand(pod, record, entry)) return RETRY_MS;
    const verdict = judgeInstance(this.#facts(pod, record, entry));
    switch (verdict.kind) {
      case 'keep':
        // just released or just reused: the object and the ledger agree soon, and no event may come then
        return entry !== undefined && idleUntilOf(pod) !== undefined ? RETRY_MS : verdict.checkAfterMs;
      case 'recovered':
        if (entry !== undefined) this.#recover(entry, pod, verdict.report);
        return 0;
      case 'lost':
      case 'expired':
        log.info(
          { pod: pod.metadata.name, claimId: record?.claimId, reason: verdict.message, at: clock.now() },
          'ending an instance',
        );
        this.#deps.idle.remove(uid);
        if (entry !== undefined && entry.recovery === undefined) this.#end(entry, verdict);
        await retirement.retire(pod, verdict.message);
        // only now may a retry of the claim start another instance
        if (entry?.recovery !== undefined) this.#end(entry, verdict);
        return RETRY_MS;
    }
  }

  /** A claim of this process works on the pod right now and will settle what becomes of it. */
  #isInHand(pod: StoredPod, record: ClaimRecord | undefined, entry: LedgerEntry | undefined): boolean {
    if (entry !== undefined) return isUnderWay(entry);
    if (record === undefined) return false;
    const holder = this.#deps.ledger.get(pod.metadata.namespace ?? '', record.claimId);
    return (
      holder !== undefined && isUnderWay(holder) && (holder.podUid === undefined || holder.podUid === pod.metadata.uid)
    );
  }

  #facts(pod: StoredPod, record: ClaimRecord | undefined, entry: LedgerEntry | undefined): InstanceFacts {
    const uid = pod.metadata.uid as PodUid;
    const report = this.#deps.nodes.currentReport(uid);
    const idle = this.#deps.idle.get(uid);
    const idleUntilUnixMs = idle?.untilUnixMs ?? idleUntilOf(pod);
    const holder =
      entry === undefined
        ? idleUntilUnixMs === undefined
          ? 'none'
          : 'idle'
        : entry.recovery !== undefined
          ? 'recovering'
          : 'known';
    return {
      record,
      holder,
      podTrouble: isFinished(pod) ? podTrouble(pod) : containerTrouble(pod),
      report,
      ...this.#silence(pod, report),
      endHeardUnixMs: hasEnded(report) ? this.#firstHeard(uid) : undefined,
      epoch: idle?.epoch ?? entry?.epoch,
      readyAtUnixMs: entry?.readyAtUnixMs,
      ttlSeconds: entry?.ttlSeconds ?? record?.ttlSeconds ?? 0,
      idleTimeoutSeconds: entry?.idleTimeoutSeconds ?? record?.idleTimeoutSeconds ?? 0,
      idleUntilUnixMs,
      recoveringSinceUnixMs: this.#recoveringSinceUnixMs,
      nowUnixMs: this.#deps.clock.now(),
    };
  }

  /** What it means that there is no report. A pod without a node is heard of by nobody. */
  #silence(pod: StoredPod, report: PodReport | undefined): Partial<InstanceFacts> {
    const uid = pod.metadata.uid as PodUid;
    const { nodeName } = pod.spec;
    const isNodeSilent = nodeName !== undefined && !this.#deps.nodes.isHeard(nodeName);
    if (report !== undefined || isNodeSilent) this.#unknownSinceUnixMs.delete(uid);
    else if (!this.#unknownSinceUnixMs.has(uid)) this.#unknownSinceUnixMs.set(uid, this.#deps.clock.now());
    const unknownSinceUnixMs = this.#unknownSinceUnixMs.get(uid);
    return { isNodeSilent, isNodeLost: isNodeLost(pod), unknownSinceUnixMs };
  }

  #firstHeard(uid: PodUid): number {
    const heardUnixMs = this.#endHeardUnixMs.get(uid) ?? this.#deps.clock.now();
    this.#endHeardUnixMs.set(uid, heardUnixMs);
    return heardUnixMs;
  }

  /** 2: loaded with its claim, 1: not known to be, 0: dead. */
  #standing(pod: StoredPod): number {
    const report = this.#deps.nodes.currentReport(pod.metadata.uid as PodUid);
    if (isFinished(pod) || hasEnded(report)) return 0;
    return report?.claimId !== undefined && report.claimId === claimRecordOf(pod)?.loadedAs ? 2 : 1;
  }

  #adopt(pod: StoredPod, term: number): void {
    const record = claimRecordOf(pod);
    const namespace = pod.metadata.namespace ?? '';
    if (
      record === undefined ||
      idleUntilOf(pod) !== undefined ||
      this.#deps.ledger.get(namespace, record.claimId) !== undefined
    )
      return;
    const sinceUnixMs = this.#recoveringSinceUnixMs ?? 0;
    const resolvers = Promise.withResolvers<Claim>();
    resolvers.promise.catch(() => undefined); // perhaps nobody asks again
    const entry = newEntry(
      {
        namespace,
        pool: pod.metadata.labels?.[LABEL_POOL] ?? '',
        claimId: record.claimId,
        term,
        fingerprint: record.fingerprint,
        outcome: resolvers.promise,
        function: record.function,
        createdAtUnixMs: record.claimedAtUnixMs,
      },
      {
        state: 'loading',
        ttlSeconds: record.ttlSeconds,
        idleTimeoutSeconds: record.idleTimeoutSeconds,
        readyAtUnixMs: record.claimedAtUnixMs,
        isAnswered: true, // perhaps: the process before this one is not there to ask
        recovery: { resolvers, wasSettled: wasSettled(record, sinceUnixMs) },
      },
    );
    const uid = pod.metadata.uid as PodUid;
    entry.claim.pod = { name: pod.metadata.name, uid, node: pod.spec.nodeName ?? '' };
    this.#deps.ledger.add(entry);
    this.#deps.ledger.bind(entry, uid);
  }

  #recover(entry: LedgerEntry, pod: StoredPod, report: PodReport): void {
    const address = report.address;
    if (address === undefined) return;
    const node = this.#deps.nodes.report(report.podUid)?.node ?? '';
    entry.epoch = report.epoch;
    const record = claimRecordOf(pod);
    this.#deps.ledger.update(entry, {
      state: 'ready',
      source: record?.source === 'cold' ? 'cold' : record?.loadedAs === entry.claimId ? 'standby' : 'reused',
      pod: { name: pod.metadata.name, uid: report.podUid, node },
      address: { ...address, url: `http://${address.host}:${address.port}` },
      readyAt: entry.claim.createdAt,
    });
    endRecovery(entry, entry.claim);
  }

  #end(entry: LedgerEntry, verdict: { kind: 'lost' | 'expired'; message: string }): void {
    if (verdict.kind === 'lost') return this.#lose(entry, verdict.message);
    this.#deps.ledger.end(entry, { state: 'released' }, LOST_KEEP_MS);
    endRecovery(
      entry,
      claimError('ClaimReleased', `the instance of claim ${entry.claimId} has ended: ${verdict.message}`),
    );
  }

  #lose(entry: LedgerEntry, message: string): void {
    if (isUnderWay(entry)) return; // its claim goes on with another pod
    const { recovery } = entry;
    if (recovery?.wasSettled === false) {
      const error = claimError('PodLost', message);
      entry.mayStartAnew = true;
      this.#deps.ledger.end(entry, { state: 'failed', error: { code: 'PodLost', message } }, LOST_KEEP_MS);
      endRecovery(entry, error);
      return;
    }
    const words = `the instance of claim ${entry.claimId} was lost: ${message}`;
    entry.error = claimError('InstanceLost', `${words}; use a new claim id`);
    this.#deps.ledger.end(entry, { state: 'failed', error: { code: 'InstanceLost', message: words } }, LOST_KEEP_MS);
    endRecovery(entry, entry.error);
  }

  #onGone(pod: StoredPod): void {
    const uid = pod.metadata.uid as PodUid;
    this.#endHeardUnixMs.delete(uid);
    this.#unknownSinceUnixMs.delete(uid);
    this.#deps.idle.remove(uid);
    const entry = this.#deps.ledger.ofPod(uid);
    if (entry !== undefined) this.#lose(entry, 'its pod was deleted');
  }
}

const triedAt = (pod: StoredPod): number => claimRecordOf(pod)?.claimedAtUnixMs ?? 0;

/** Not answered yet: the claim itself settles what becomes of its pod. */
function isUnderWay({ claim, recovery }: LedgerEntry): boolean {
  return (claim.state === 'queued' || claim.state === 'loading') && recovery === undefined;
}
