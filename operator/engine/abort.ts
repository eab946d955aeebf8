import type { Clock } from './clock.ts';

/**
 * A signal with an end of its own: aborts with its parent, after a delay on the given clock, or when told to. Ending it takes the
 * timer and the listener on the parent away; a scope that is not ended keeps both.
 */
export class AbortScope implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal | undefined;
  readonly #onParentAbort = (): void => this.abort(this.#parent?.reason);
  #cancelTimer: (() => void) | undefined;

  constructor(parent?: AbortSignal) {
    this.#parent = parent;
    if (parent?.aborted) this.abort(parent.reason);
    else parent?.addEventListener('abort', this.#onParentAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Replaces an earlier deadline. */
  abortAfter(clock: Clock, delayMs: number, reason: () => Error): void {
    this.#cancelTimer?.();
    if (this.signal.aborted) return;
    this.#cancelTimer = clock.after(delayMs, () => this.abort(reason()));
  }

  abort(reason: unknown): void {
    this.end();
    this.#controller.abort(reason);
  }

  /** The signal stays as it is, for good. */
  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#parent?.removeEventListener('abort', this.#onParentAbort);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

/** As `promise`, but rejects with the signal's reason as soon as that aborts, whether or not the promise ever settles. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
