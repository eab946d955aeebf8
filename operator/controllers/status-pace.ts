import type { Condition, WarmPoolStatus } from '@warmpool/protocol/warm-pool.ts';
import type { Clock } from '../engine/clock.ts';

/** How long counts may change before they are written. */
const SETTLE_MS = 250;

/**
 * One claim changes the counts of its pool five times within a second or two, and each write of them would be work for the apiserver
 * and for everybody who watches, just when other claims may come. So counts are written together, a moment later; what somebody may
 * wait for or has to know is written at once: the first status, a new generation, and trouble.
 */
export class StatusPace {
  readonly #clock: Clock;
  readonly #since = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long to wait before looking again; `undefined`: write now. */
  holdMs(pool: string, written: WarmPoolStatus | undefined, wanted: WarmPoolStatus): number | undefined {
    const nowMs = this.#clock.monotonic();
    const sinceMs = this.#since.get(pool) ?? nowMs;
    const leftMs = sinceMs + SETTLE_MS - nowMs;
    if (leftMs <= 0 || isNews(written, wanted)) {
      this.#since.delete(pool);
      return undefined;
    }
    this.#since.set(pool, sinceMs);
    return leftMs;
  }

  /** Nothing is left to write. */
  settled(pool: string): void {
    this.#since.delete(pool);
  }
}

function isNews(written: WarmPoolStatus | undefined, wanted: WarmPoolStatus): boolean {
  if (written?.observedGeneration !== wanted.observedGeneration) return true;
  const [before, after] = [stalled(written), stalled(wanted)];
  return before?.status !== after?.status || before?.reason !== after?.reason || before?.message !== after?.message;
}

function stalled(status: WarmPoolStatus | undefined): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Stalled');
}
