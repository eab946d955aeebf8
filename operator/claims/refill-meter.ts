/**
 * How long a pool takes to make a standby pod, as seen: creation to standby, over the last pods. What `Retry-After` and the
 * expected wait are computed from.
 */
export class RefillMeter {
  readonly #windows = new Map<string, number[]>();

  observe(pool: string, createdToStandbyMs: number): void {
    const window = this.#windows.get(pool) ?? [];
    window.push(createdToStandbyMs);
    if (window.length > WINDOW) window.shift();
    this.#windows.set(pool, window);
  }

  /** The 90th percentile of the window; `undefined` before the first pod. */
  refillMs(pool: string): number | undefined {
    const window = this.#windows.get(pool);
    if (window === undefined || window.length === 0) return undefined;
    const sorted = [...window].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.9))];
  }

  /**
   * When to come back, in whole seconds, at least 1: `ahead` claims wait already, `booting` pods are under way. Each round of
   * refill serves as many claims as there are pods booting.
   */
  retryAfterSeconds(pool: string, ahead: number, booting: number): number {
    const refillMs = this.refillMs(pool) ?? UNKNOWN_REFILL_MS;
    const rounds = Math.ceil((ahead + 1) / Math.max(1, booting));
    return Math.min(60, Math.max(1, Math.ceil((rounds * refillMs) / 1000)));
  }

  forget(pool: string): void {
    this.#windows.delete(pool);
  }
}

const WINDOW = 50;
/** Before anything was measured: about what a small pod takes on a quiet cluster. */
const UNKNOWN_REFILL_MS = 2_000;
