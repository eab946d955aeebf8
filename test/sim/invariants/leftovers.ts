import { claimIdOf, isClaimed, isTerminating, type StoredPod } from '@warmpool/operator/core/pod-view.ts';
import type { WorldView } from './world-view.ts';
import type { InvariantName } from '../violation.ts';

const BOUND_MS = 150_000;
const CALM_BOUND_MS = 100_000;

/** I4, and the extra instances of I3: what nobody can use is gone within a bound. */
export class Leftovers {
  readonly #view: WorldView;
  /** Since when a pod is wrong, and what about it. */
  readonly #since = new Map<string, { what: string; atMs: number }>();

  constructor(view: WorldView) {
    this.#view = view;
  }

  sweep(): void {
    const nowMs = this.#view.clock.monotonic();
    const calmSinceMs = this.#view.calmSinceMs();
    const seen = new Set<string>();
    for (const pod of this.#view.pods.all()) {
      const { uid, name } = pod.metadata;
      seen.add(uid);
      const wrong = this.#whatIsWrong(pod);
      const before = this.#since.get(uid);
      if (wrong === undefined) {
        this.#since.delete(uid);
        continue;
      }
      const since = before?.what === wrong.what ? before : { what: wrong.what, atMs: nowMs };
      this.#since.set(uid, since);
      const isLate =
        nowMs - since.atMs > BOUND_MS ||
        (calmSinceMs !== undefined && nowMs - Math.max(since.atMs, calmSinceMs) > CALM_BOUND_MS);
      if (isLate) {
        const seconds = Math.round((nowMs - since.atMs) / 1000);
        this.#view.violate(wrong.invariant, `pod ${name} is ${wrong.what} for ${seconds} s already`);
      }
    }
    for (const uid of this.#since.keys()) if (!seen.has(uid)) this.#since.delete(uid);
  }

  #whatIsWrong(pod: StoredPod): { invariant: InvariantName; what: string } | undefined {
    const { truth } = this.#view;
    const { uid } = pod.metadata;
    if (isTerminating(pod) || truth.wasNodeTroubled(uid, 1_000)) return undefined;
    const loaded = truth.processes(uid).find((process) => process.isAlive && process.claimId !== undefined);
    if (!isClaimed(pod))
      return loaded === undefined
        ? undefined
        : { invariant: 'I4', what: `loaded for ${loaded.claimId} and not claimed` };
    const claimId = claimIdOf(pod);
    if (loaded === undefined) return { invariant: 'I4', what: `claimed by ${claimId} and not loaded` };
    const last = claimId === undefined ? undefined : truth.claims.get(claimId)?.answers.at(-1);
    if (last === undefined || last.podUid === uid) return undefined;
    return { invariant: 'I3', what: `a second instance of ${claimId}, that nobody was answered with,` };
  }
}
