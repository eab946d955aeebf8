import type { Clock } from '../engine/clock.ts';

/** Looks again this soon; a load takes a few milliseconds. */
const PAUSE_MS = 10;
/** A stream of claims without a gap must not keep a pool from refilling. */
const LIMIT_MS = 500;

/**
 * Refilling yields to claims: while claims load, the work of replacing their pods waits, so that it does not take the processor from
 * the very answers that somebody waits for. Each pool's wait is bounded, and there is none for a pool that claims wait for.
 */
export class RefillYield {
  readonly #clock: Clock;
  /** Whether claims load now. */
  readonly isLoading: () => boolean;
  readonly #isAwaited: (pool: string) => boolean;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock, isLoading: () => boolean, isAwaited: (pool: string) => boolean) {
    this.#clock = clock;
    this.isLoading = isLoading;
    this.#isAwaited = isAwaited;
  }

  /** How long a look that has become due may wait. Only {@link holdMs} keeps account of it. */
  pauseMs(pool: string): number {
    return this.isLoading() && !this.#isAwaited(pool) ? PAUSE_MS : 0;
  }

  /** For the look itself: how long to wait before looking again; `undefined`: go ahead. */
  holdMs(pool: string): number | undefined {
    const nowMs = this.#clock.monotonic();
    const sinceMs = this.#since.get(pool) ?? nowMs;
    const pauseMs = this.pauseMs(pool);
    if (pauseMs === 0 || nowMs - sinceMs >= LIMIT_MS) {
      this.#since.delete(pool);
      return undefined;
    }
    this.#since.set(pool, sinceMs);
    return pauseMs;
  }
}
