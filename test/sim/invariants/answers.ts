import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { claimIdOf, claimRecordOf, isTerminating } from '@warmpool/operator/core/pod-view.ts';
import type { ClaimFacts } from '../truth.ts';
import type { WorldView } from './world-view.ts';

/** News of a death needs this long to reach the operator: a stalled stream is noticed after 15 s of silence. */
const NEWS_MS = 60_000;
const CALM_NEWS_MS = 5_000;

/** I3 and I8: what clients are told about an instance is true, and always the same. */
export class Answers {
  readonly #view: WorldView;

  constructor(view: WorldView) {
    this.#view = view;
  }

  /** At the moment in which the operator says so. */
  onSaidReady(facts: ClaimFacts, claim: Claim): void {
    const { violate, truth } = this.#view;
    const id = facts.request.claimId;
    const uid = claim.pod?.uid;
    if (claim.state !== 'ready' || uid === undefined) {
      violate('I8', `claim ${id} was answered with state ${claim.state} and no instance`);
      return;
    }
    const process = truth.loadedProcess(uid);
    if (process === undefined) {
      violate('I8', `claim ${id} was answered with pod ${claim.pod?.name}, into which nothing was ever loaded`);
      return;
    }
    const pod = this.#view.pods.get(uid);
    const loadedAs = pod === undefined ? undefined : claimRecordOf(pod)?.loadedAs;
    const loadedFor = process.loads[0];
    const isKnown = pod !== undefined || claim.source !== 'reused';
    if (isKnown && loadedFor !== id && loadedFor !== loadedAs)
      violate('I8', `claim ${id} was answered with pod ${claim.pod?.name}, which was loaded for ${loadedFor}`);
    this.checkAlive(id, uid);
  }

  /** A process that ended long ago is reported ready. */
  checkAlive(claimId: string, podUid: string): void {
    const { truth, violate, clock } = this.#view;
    const endedAtMs = truth.loadedProcess(podUid)?.endedAtMs;
    if (endedAtMs === undefined || truth.wasNodeTroubled(podUid, NEWS_MS)) return;
    const calmSinceMs = this.#view.calmSinceMs();
    const nowMs = clock.monotonic();
    const isLate =
      nowMs - endedAtMs > NEWS_MS ||
      (calmSinceMs !== undefined && nowMs - Math.max(endedAtMs, calmSinceMs + NEWS_MS) > CALM_NEWS_MS);
    if (isLate) {
      const seconds = Math.round((nowMs - endedAtMs) / 1000);
      violate('I8', `claim ${claimId} is reported ready ${seconds} s after its process in pod ${podUid} ended`);
    }
  }

  /** At the moment in which the client hears it, before it is noted. */
  onAnswered(facts: ClaimFacts, claim: Claim): void {
    const { truth, violate } = this.#view;
    const id = facts.request.claimId;
    for (const { podUid } of facts.answers) {
      if (podUid === claim.pod?.uid) continue;
      const other = this.#view.pods.get(podUid);
      const isLive =
        other !== undefined &&
        !isTerminating(other) &&
        claimIdOf(other) === id &&
        truth.loadedProcess(podUid)?.isAlive === true;
      if (isLive)
        violate('I3', `claim ${id} was answered with pod ${claim.pod?.name} while ${other.metadata.name} is live`);
    }
  }

  /** What the ledgers say is ready, again and again. */
  sweep(): void {
    for (const replica of this.#view.replicas) {
      const { operator } = replica;
      if (operator === undefined || replica.isPaused || !operator.isServing) continue;
      for (const { claim, podUid } of operator.ledger.entries())
        if (claim.state === 'ready' && podUid !== undefined) this.checkAlive(claim.claimId, podUid);
    }
  }
}
