import type { Clock } from '../engine/clock.ts';
import { KubeError } from '../engine/kube-client.ts';

/** One signal for "too late" and "the caller gave up"; aborts with the {@link KubeError} that the call then fails with. */
export class CallDeadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #cancelTimer: () => void;
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = (): void =>
    this.#controller.abort(new KubeError(0, 'Aborted', `${this.#what} was aborted by its caller`));
  readonly #what: string;
  readonly #clock: Clock;
  readonly #endsAtMs: number;

  constructor(clock: Clock, what: string, timeoutMs: number, caller: AbortSignal | undefined) {
    this.#what = what;
    this.#clock = clock;
    this.#endsAtMs = clock.monotonic() + timeoutMs;
    this.#caller = caller;
    this.#cancelTimer = clock.after(timeoutMs, () =>
      this.#controller.abort(new KubeError(0, 'Timeout', `${what} had no answer after ${timeoutMs} ms`)),
    );
    if (caller?.aborted) this.#onAbort();
    else caller?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get remainingMs(): number {
    return this.#endsAtMs - this.#clock.monotonic();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    this.#cancelTimer();
    this.#caller?.removeEventListener('abort', this.#onAbort);
  }
}
