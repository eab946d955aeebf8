import type { Clock } from '../engine/clock.ts';

export type WaitOutcome<T> = { kind: 'given'; item: T } | { kind: 'timeout' | 'aborted' | 'closed' };

interface Waiter<T> {
  tenant: string;
  settle(outcome: WaitOutcome<T>): void;
}

/**
 * Claims that wait for a standby pod of one pool: first come first served within a tenant, the tenants in rotation, so that one
 * tenant's storm does not starve the others. Bounded; every waiter has a deadline and can leave.
 */
export class ClaimQueue<T> {
  readonly #clock: Clock;
  /** In order of whose turn it is. An empty list is removed at once. */
  readonly #tenants = new Map<string, Set<Waiter<T>>>();
  #length = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get length(): number {
    return this.#length;
  }

  /** Resolves with `given` and the item when it is this claim's turn: what it is given is its own from then on. */
  wait(tenant: string, maxWaitMs: number, signal: AbortSignal): Promise<WaitOutcome<T>> {
    if (signal.aborted) return Promise.resolve({ kind: 'aborted' });
    return new Promise((resolve) => {
      const leave = (outcome: WaitOutcome<T>): void => {
        if (!this.#remove(waiter)) return;
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        resolve(outcome);
      };
      const waiter: Waiter<T> = { tenant, settle: leave };
      const onAbort = (): void => leave({ kind: 'aborted' });
      const cancelTimer = this.#clock.after(maxWaitMs, () => leave({ kind: 'timeout' }));
      signal.addEventListener('abort', onAbort, { once: true });
      this.#add(waiter);
    });
  }

  /** Hands the item to the waiter whose turn it is. False when nobody waits. */
  give(item: T): boolean {
    for (const [tenant, waiters] of this.#tenants) {
      for (const waiter of waiters) {
        // this tenant's next waiter comes after everybody else's
        this.#tenants.delete(tenant);
        this.#tenants.set(tenant, waiters);
        waiter.settle({ kind: 'given', item });
        return true;
      }
    }
    return false;
  }

  /** The pool is gone or the operator stops. */
  close(): void {
    for (const waiters of this.#tenants.values()) for (const waiter of waiters) waiter.settle({ kind: 'closed' });
  }

  #add(waiter: Waiter<T>): void {
    let waiters = this.#tenants.get(waiter.tenant);
    if (waiters === undefined) this.#tenants.set(waiter.tenant, (waiters = new Set()));
    waiters.add(waiter);
    this.#length++;
  }

  #remove(waiter: Waiter<T>): boolean {
    const waiters = this.#tenants.get(waiter.tenant);
    if (waiters?.delete(waiter) !== true) return false;
    if (waiters.size === 0) this.#tenants.delete(waiter.tenant);
    this.#length--;
    return true;
  }
}
