import {
  claimIdOf,
  containerTrouble,
  isFinished,
  isTerminating,
  type StoredPod,
} from '@warmpool/operator/core/pod-view.ts';
import type { RuntimeProcess } from '../runtime-process.ts';
import type { ClaimFacts } from '../truth.ts';
import { isReplica, type PodChange, type WorldView } from './world-view.ts';

/** The operator counts from a moment slightly before the client's. */
const EXPIRY_SLACK_MS = 3_000;
/** A node that was away may have been judged by what was last known. */
const NODE_TROUBLE_MS = 60_000;

/** I5: what a client was given, it keeps, until it lets go or the instance's own end comes. */
export class HeldInstances {
  readonly #view: WorldView;

  constructor(view: WorldView) {
    this.#view = view;
  }

  onPod({ type, pod, previous }: PodChange): void {
    const who = this.#view.actor.current;
    const isEnding = type === 'DELETED' ? !isTerminating(previous ?? pod) : isTerminating(pod);
    if (!isReplica(who) || !isEnding || previous === undefined || isTerminating(previous)) return;
    const holder = this.#holder(previous);
    if (holder !== undefined)
      this.#view.violate('I5', `${who} deleted pod ${pod.metadata.name}, the healthy instance of ${holder}`);
  }

  /** Before it is killed. */
  onKill(process: RuntimeProcess): void {
    const who = this.#view.actor.current;
    const pod = this.#view.pods.get(process.podUid);
    if (pod === undefined || isTerminating(pod) || !isReplica(who)) return;
    const holder = this.#holder(pod);
    if (holder !== undefined)
      this.#view.violate('I5', `${who} killed pod ${pod.metadata.name}, the healthy instance of ${holder}`);
  }

  #holder(pod: StoredPod): string | undefined {
    const { truth } = this.#view;
    const claimId = claimIdOf(pod);
    const facts = claimId === undefined ? undefined : truth.claims.get(claimId);
    const { uid } = pod.metadata;
    if (facts === undefined || facts.releaseSentAtMs !== undefined) return undefined;
    if (facts.answers.at(-1)?.podUid !== uid || isFinished(pod) || containerTrouble(pod)) return undefined;
    const process = truth.process(uid);
    if (process === undefined || !process.isLoaded || truth.wasNodeTroubled(uid, NODE_TROUBLE_MS)) return undefined;
    return this.#isExpired(facts, process) ? undefined : claimId;
  }

  #isExpired({ request }: ClaimFacts, process: RuntimeProcess): boolean {
    const { ttlSeconds = 0, idleTimeoutSeconds = 0 } = request;
    const readyMs = this.#view.clock.now() - (process.idleSinceUnixMs ?? 0) + EXPIRY_SLACK_MS;
    // after a change of leader an instance's life counts from its claim
    const ageMs = readyMs + request.deadlineMs;
    return (
      (ttlSeconds > 0 && ageMs >= ttlSeconds * 1000) || (idleTimeoutSeconds > 0 && readyMs >= idleTimeoutSeconds * 1000)
    );
  }
}
