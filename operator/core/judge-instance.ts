import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { PodReport } from '@warmpool/protocol/host-agent-api.ts';

/** What is known about a claimed pod that is not being deleted. */
export interface InstanceFacts {
  record: ClaimRecord | undefined;
  /** `known`: a ready claim of this process. `recovering`: taken over, not yet judged. `idle`: kept warm. `none`: no claim has it. */
  holder: 'known' | 'recovering' | 'idle' | 'none';
  /** Finished, restarted: in the apiserver's words. */
  podTrouble: string | undefined;
  /** What its node says now. */
  report: PodReport | undefined;
  /** Its node cannot be heard at all. */
  isNodeSilent?: boolean;
  /** The node does not report to the control plane either. */
  isNodeLost?: boolean;
  /** Since when its node is heard and says nothing of it. */
  unknownSinceUnixMs?: number | undefined;
  /** When a report that its process has ended was first seen. */
  endHeardUnixMs?: number | undefined;
  /** The process that the claim was loaded into, once known. */
  epoch: string | undefined;
  readyAtUnixMs: number | undefined;
  ttlSeconds: number;
  idleTimeoutSeconds: number;
  idleUntilUnixMs: number | undefined;
  /** When this process began to take claims over. */
  recoveringSinceUnixMs?: number | undefined;
  nowUnixMs: number;
}

export type Verdict =
  | { kind: 'keep'; checkAfterMs: number | undefined }
  /** Loaded by the operator before this one, and alive. */
  | { kind: 'recovered'; report: PodReport }
  /** Its claim, if it has one, has lost its instance. */
  | { kind: 'lost'; message: string }
  /** Its time is over. */
  | { kind: 'expired'; message: string };

/** A node that is lost may come back, one that is back may still look around: this much longer it may speak up. */
const NODE_GRACE_MS = 30_000;
/** A node that is heard again and says nothing of a pod causes no event. */
const SILENT_LOOK_MS = 10_000;
/** From its load's deadline on a claim is answered, or its pod ended, within this, if there is an operator. */
const SETTLED_MS = 60_000;
/** A node hears at once that a process has ended; the kubelet says a second later what ended it, as only it can when memory ran out. */
const KUBELET_WORDS_MS = 3_000;

/** Keep, recover or end a claimed pod. Every claimed pod that nobody can use ends within a bound, once its node is heard, lost or gone. */
export function judgeInstance(facts: InstanceFacts): Verdict {
  const { record, report, nowUnixMs } = facts;
  if (record === undefined) return { kind: 'lost', message: 'its claim record is missing or unreadable' };
  if (facts.podTrouble !== undefined) return { kind: 'lost', message: facts.podTrouble };
  if (hasEnded(report)) {
    const said = report?.lastError;
    const leftMs = (facts.endHeardUnixMs ?? nowUnixMs) + KUBELET_WORDS_MS - nowUnixMs;
    const isUnexplained = said === undefined || said.code === 'PodLost';
    if (facts.holder === 'known' && isUnexplained && leftMs > 0) return { kind: 'keep', checkAfterMs: leftMs };
    return { kind: 'lost', message: said?.message ?? `its runtime-agent is ${report?.state}` };
  }
  if (report !== undefined && facts.epoch !== undefined && report.epoch !== facts.epoch) {
    return { kind: 'lost', message: 'its process was replaced by another one' };
  }
  switch (facts.holder) {
    case 'none':
      return { kind: 'lost', message: 'no claim has it' };
    case 'recovering':
      return judgeRecovering(facts, record);
    case 'idle':
      return remaining(
        [{ untilUnixMs: facts.idleUntilUnixMs, message: 'nobody wanted it while it was kept warm' }],
        nowUnixMs,
      );
    case 'known':
      return remaining(
        [lifeEnd(facts), { untilUnixMs: idleEnd(facts), message: `no request for ${facts.idleTimeoutSeconds} s` }],
        nowUnixMs,
      );
  }
}

export function hasEnded(report: PodReport | undefined): boolean {
  return report?.state === 'failed' || report?.state === 'terminated';
}

/**
 * Whether a claim that was taken over can only be one that was answered long ago: then its instance may be in use, and is not given up
 * because its node is silent.
 */
export function wasSettled({ loadDeadlineUnixMs }: ClaimRecord, recoveringSinceUnixMs: number): boolean {
  return loadDeadlineUnixMs + SETTLED_MS <= recoveringSinceUnixMs;
}

function judgeRecovering(facts: InstanceFacts, record: ClaimRecord): Verdict {
  const { report, recoveringSinceUnixMs: sinceUnixMs = 0, unknownSinceUnixMs = 0, nowUnixMs } = facts;
  const isServing = report?.state === 'ready' || report?.state === 'busy';
  if (report !== undefined && isServing) {
    if (report.claimId === record.loadedAs && report.address !== undefined) return { kind: 'recovered', report };
    return { kind: 'lost', message: `its process was loaded for another claim (${report.claimId ?? 'unknown'})` };
  }
  // nobody is left who would load it
  if (report?.state === 'standby') return { kind: 'lost', message: 'it was claimed but never loaded' };
  if (facts.isNodeSilent === true && (facts.isNodeLost !== true || wasSettled(record, sinceUnixMs)))
    return sooner(remaining([lifeEnd(facts)], nowUnixMs), SILENT_LOOK_MS);
  const leftMs = Math.max(record.loadDeadlineUnixMs, sinceUnixMs, unknownSinceUnixMs) + NODE_GRACE_MS - nowUnixMs;
  if (leftMs <= 0) return { kind: 'lost', message: 'its node did not confirm that it was loaded' };
  return { kind: 'keep', checkAfterMs: leftMs };
}

/** The end of idleness as the node counts it; a claim counts as activity. */
function idleEnd(facts: InstanceFacts): number | undefined {
  const { report, readyAtUnixMs } = facts;
  if (report?.idleSinceUnixMs === undefined || report.inFlight > 0 || report.state !== 'ready') return undefined;
  return after(Math.max(report.idleSinceUnixMs, readyAtUnixMs ?? 0), facts.idleTimeoutSeconds);
}

function sooner(verdict: Verdict, checkAfterMs: number): Verdict {
  return verdict.kind === 'keep'
    ? { kind: 'keep', checkAfterMs: Math.min(checkAfterMs, verdict.checkAfterMs ?? Infinity) }
    : verdict;
}

interface Limit {
  untilUnixMs: number | undefined;
  message: string;
}

function lifeEnd({ readyAtUnixMs, ttlSeconds }: InstanceFacts): Limit {
  return { untilUnixMs: after(readyAtUnixMs, ttlSeconds), message: `it lived ${ttlSeconds} s, its time to live` };
}

function after(fromUnixMs: number | undefined, seconds: number): number | undefined {
  return fromUnixMs === undefined || seconds === 0 ? undefined : fromUnixMs + seconds * 1000;
}

function remaining(limits: Limit[], nowUnixMs: number): Verdict {
  let checkAfterMs: number | undefined;
  for (const { untilUnixMs, message } of limits) {
    if (untilUnixMs === undefined) continue;
    if (untilUnixMs <= nowUnixMs) return { kind: 'expired', message };
    checkAfterMs = Math.min(checkAfterMs ?? Infinity, untilUnixMs - nowUnixMs);
  }
  return { kind: 'keep', checkAfterMs };
}
