import { AbortScope, abortable } from './engine/abort.ts';
import type { Clock } from './engine/clock.ts';

/** Waits until every cache has been listed anew, so that nothing written before by another leader is missed. */
export class FreshLists {
  readonly #reflectors = new Map<string, { relist(): void }>();
  readonly #seen = new Set<string>();
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();

  add(name: string, reflector: { relist(): void }): void {
    this.#reflectors.set(name, reflector);
  }

  listed(name: string): void {
    this.#seen.add(name);
    this.#waiting.get(name)?.resolve();
    this.#waiting.delete(name);
  }

  /** Every cache has been listed at least once. */
  get isComplete(): boolean {
    return this.#reflectors.size > 0 && this.#seen.size === this.#reflectors.size;
  }

  /** Rejects with the signal's reason, or when the lists are not there in time. */
  async next(signal: AbortSignal, clock: Clock, timeoutMs: number): Promise<void> {
    using scope = new AbortScope(signal);
    scope.abortAfter(
      clock,
      timeoutMs,
      () => new Error(`the apiserver did not list ${[...this.#waiting.keys()].join(', ')} within ${timeoutMs} ms`),
    );
    const lists = [...this.#reflectors].map(([name, reflector]) => {
      const waiting = Promise.withResolvers<void>();
      this.#waiting.set(name, waiting);
      reflector.relist();
      return waiting.promise;
    });
    await abortable(Promise.all(lists), scope.signal);
  }
}
