export interface Rank {
  /** Smaller goes first. */
  priority: number;
  /** Not granted while more than this would be taken: keeps room for those that may take more. */
  ceiling: number;
}

interface Waiter {
  amount: number;
  rank: () => Rank;
  grant: () => void;
}

/** A bounded amount of something, shared by priority; equals in the order they came. */
export class PrioritySemaphore {
  readonly capacity: number;
  #taken = 0;
  readonly #waiters: Waiter[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get taken(): number {
    return this.#taken;
  }

  /**
   * Resolves with the way to give it back, which may be called more than once. `rank` is asked again whenever something becomes free:
   * it may change while waiting. An amount above the ceiling counts as the ceiling.
   */
  async acquire(amount: number, signal: AbortSignal, rank: () => Rank = this.#plainRank): Promise<() => void> {
    signal.throwIfAborted();
    const granted = Promise.withResolvers<void>();
    let held = 0;
    const waiter: Waiter = {
      amount,
      rank,
      grant: () => {
        held = Math.min(amount, rank().ceiling);
        this.#taken += held;
        granted.resolve();
      },
    };
    this.#waiters.push(waiter);
    const onAbort = (): void => {
      if (!this.#remove(waiter)) return;
      granted.reject(signal.reason);
      this.#serve();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#serve();
    try {
      await granted.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    return () => {
      this.#taken -= held;
      held = 0;
      this.#serve();
    };
  }

  readonly #plainRank = (): Rank => ({ priority: 0, ceiling: this.capacity });

  /** Nobody overtakes the first in line, so a large wish is not starved; one held back by its own low ceiling blocks nobody else. */
  #serve(): void {
    if (this.#waiters.length === 0 || this.#taken >= this.capacity) return;
    const ranked = this.#waiters.map((waiter) => ({ waiter, ...waiter.rank() }));
    ranked.sort((a, b) => a.priority - b.priority);
    for (const { waiter, ceiling } of ranked) {
      const isFree = this.#taken + Math.min(waiter.amount, ceiling) <= ceiling;
      if (!isFree && ceiling === this.capacity) return;
      if (isFree && this.#remove(waiter)) waiter.grant();
    }
  }

  #remove(waiter: Waiter): boolean {
    const index = this.#waiters.indexOf(waiter);
    if (index !== -1) this.#waiters.splice(index, 1);
    return index !== -1;
  }
}
