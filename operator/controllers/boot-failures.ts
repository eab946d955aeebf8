/**
 * Pods of a pool that died or got stuck before they were ever standby, in a row. A template that cannot work must not make a pod a
 * second for ever: the pauses between attempts double.
 */
export class BootFailures {
  readonly #streaks = new Map<string, { count: number; notBeforeUnixMs: number; message: string }>();

  /** One pass in which pods failed, however many. */
  failed(pool: string, message: string, nowUnixMs: number): void {
    const count = (this.#streaks.get(pool)?.count ?? 0) + 1;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(count - 1, 10));
    this.#streaks.set(pool, { count, notBeforeUnixMs: nowUnixMs + pauseMs, message });
  }

  succeeded(pool: string): void {
    this.#streaks.delete(pool);
  }

  notBeforeUnixMs(pool: string): number {
    return this.#streaks.get(pool)?.notBeforeUnixMs ?? 0;
  }

  /** What the last one died of; `undefined` when boots succeed. */
  message(pool: string): string | undefined {
    const streak = this.#streaks.get(pool);
    if (streak === undefined) return undefined;
    return `${streak.count === 1 ? 'a pod' : `${streak.count} times in a row pods`} failed before standby: ${streak.message}`;
  }

  forget(pool: string): void {
    this.#streaks.delete(pool);
  }
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 60_000;
