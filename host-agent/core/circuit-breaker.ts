import type { Random } from './backoff.ts';
import { backoffMs } from './backoff.ts';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

/** Whether something that failed is to be asked again: after pauses that grow, one request at a time, until one succeeds. */
export class CircuitBreaker {
  readonly #random: Random;
  #failures = 0;
  #closedUntilMs = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  get isOpen(): boolean {
    return this.#failures > 0;
  }

  /** Says yes to one request after each pause: the one that finds out. */
  admits(nowMs: number): boolean {
    if (this.#failures === 0) return true;
    if (nowMs < this.#closedUntilMs) return false;
    this.#closedUntilMs = nowMs + this.#pauseMs();
    return true;
  }

  succeed(): void {
    this.#failures = 0;
  }

  /** `isGrave`: what it said looked right and was not, so that its next success proves little. */
  fail(nowMs: number, { isGrave = false }: { isGrave?: boolean } = {}): void {
    // many requests that were under way fail at once: together they are one failure
    if (this.#failures === 0 || nowMs >= this.#closedUntilMs || isGrave) this.#failures++;
    const pauseMs = isGrave ? LONGEST_PAUSE_MS : this.#pauseMs();
    this.#closedUntilMs = Math.max(this.#closedUntilMs, nowMs + pauseMs);
  }

  #pauseMs(): number {
    return backoffMs(this.#failures, FIRST_PAUSE_MS, LONGEST_PAUSE_MS, this.#random);
  }
}
