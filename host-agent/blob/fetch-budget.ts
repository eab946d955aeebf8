import type { Clock } from '../clock.ts';
import { PrioritySemaphore } from '../core/priority-semaphore.ts';

export interface FetchBudgetOptions {
  /** Requests to stores under way at once, of the whole node. */
  connections: number;
  /** Bytes that have arrived, or are about to, and are not unpacked yet, of the whole node. */
  memoryBytes: number;
  /** Of all downloads together; 0 is no limit. */
  bytesPerSecond: number;
}

export const DEFAULT_FETCH_BUDGET: FetchBudgetOptions = {
  connections: 32,
  memoryBytes: 64 * 1024 * 1024,
  bytesPerSecond: 0,
};

/** Whose fetch it is: claims by their deadline, prefetches after every claim. Changes when a claim joins a prefetch. */
export interface FetchPriority {
  kind: 'claim' | 'prefetch';
  deadlineUnixMs: number;
}

/** Prefetches together get at most this part of each of the node's budgets. */
const PREFETCH_SHARE = 0.25;

/** What all downloads of this node share. */
export class FetchBudget {
  readonly #clock: Clock;
  readonly #connections: PrioritySemaphore;
  readonly #memory: PrioritySemaphore;
  readonly #bytesPerMs: number;
  /** When what was let through so far has passed, at the rate of each kind. */
  readonly #freeAtMs = { claim: 0, prefetch: 0 };

  constructor(clock: Clock, { connections, memoryBytes, bytesPerSecond }: FetchBudgetOptions) {
    this.#clock = clock;
    this.#connections = new PrioritySemaphore(connections);
    this.#memory = new PrioritySemaphore(memoryBytes);
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  get connectionsInUse(): number {
    return this.#connections.taken;
  }

  get memoryInUseBytes(): number {
    return this.#memory.taken;
  }

  connection(priority: FetchPriority, signal: AbortSignal): Promise<() => void> {
    return this.#acquire(this.#connections, 1, priority, signal);
  }

  memory(bytes: number, priority: FetchPriority, signal: AbortSignal): Promise<() => void> {
    return this.#acquire(this.#memory, bytes, priority, signal);
  }

  /** Waits until these bytes, which have arrived, are within the rate: what is not read is not sent on. */
  async pass(bytes: number, { kind }: FetchPriority, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerMs === 0) return;
    const nowMs = this.#clock.monotonic();
    const tookMs = bytes / this.#bytesPerMs;
    this.#freeAtMs.claim = Math.max(this.#freeAtMs.claim, nowMs) + tookMs;
    if (kind === 'prefetch') {
      this.#freeAtMs.prefetch = Math.max(this.#freeAtMs.prefetch, nowMs) + tookMs / PREFETCH_SHARE;
    }
    const waitMs = this.#freeAtMs[kind] - nowMs;
    if (waitMs > 1) await this.#clock.sleep(waitMs, signal);
  }

  #acquire(
    semaphore: PrioritySemaphore,
    amount: number,
    priority: FetchPriority,
    signal: AbortSignal,
  ): Promise<() => void> {
    const { capacity } = semaphore;
    const reduced = { priority: Number.MAX_SAFE_INTEGER, ceiling: Math.max(1, Math.floor(capacity * PREFETCH_SHARE)) };
    return semaphore.acquire(amount, signal, () =>
      priority.kind === 'claim' ? { priority: priority.deadlineUnixMs, ceiling: capacity } : reduced,
    );
  }
}
