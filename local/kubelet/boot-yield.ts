import type { Clock } from '@warmpool/operator/engine/clock.ts';

export interface Suspendable {
  suspend(): void;
  resume(): void;
}

interface Booting {
  /** How long this boot has stood aside already; never more than the limit. */
  usedMs: number;
  suspendedAtMs: number | undefined;
  cancelLimit: () => void;
}

/**
 * Boots stand aside while claims are in flight: between {@link pause} and {@link resume} nothing new starts and what is booting is
 * stopped. They go on `settleMs` after the last claim, since its answer and most often its first request are on their way until then.
 * Each boot stands aside for at most `limitMs` in all, so that a stream of claims cannot starve the refill it lives on.
 */
export class BootYield {
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #settleMs: number;
  readonly #booting = new Map<Suspendable, Booting>();
  readonly #waiting = new Set<() => void>();
  #isPaused = false;
  #cancelResume: (() => void) | undefined;

  constructor(clock: Clock, limitMs: number, settleMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#settleMs = settleMs;
  }

  pause(): void {
    this.#cancelResume?.();
    this.#cancelResume = undefined;
    if (this.#isPaused) return;
    this.#isPaused = true;
    for (const [boot, state] of this.#booting) this.#suspend(boot, state);
  }

  resume(): void {
    if (!this.#isPaused || this.#cancelResume !== undefined) return;
    this.#cancelResume = this.#clock.after(this.#settleMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#cancelResume = undefined;
    this.#isPaused = false;
    for (const [boot, state] of this.#booting) this.#release(boot, state);
    for (const proceed of this.#waiting) proceed();
  }

  /** Resolves when a boot may start; the milliseconds are what it has waited, for {@link add}. */
  turn(): Promise<number> {
    if (!this.#isPaused) return Promise.resolve(0);
    const startMs = this.#clock.monotonic();
    return new Promise((resolve) => {
      const proceed = (): void => {
        cancel();
        this.#waiting.delete(proceed);
        resolve(this.#clock.monotonic() - startMs);
      };
      const cancel = this.#clock.after(this.#limitMs, proceed);
      this.#waiting.add(proceed);
    });
  }

  add(boot: Suspendable, waitedMs: number): void {
    const state: Booting = { usedMs: waitedMs, suspendedAtMs: undefined, cancelLimit: () => undefined };
    this.#booting.set(boot, state);
    if (this.#isPaused) this.#suspend(boot, state);
  }

  /** The boot is over, or is to end: from here on it is never stopped. */
  remove(boot: Suspendable): void {
    const state = this.#booting.get(boot);
    if (state === undefined) return;
    this.#booting.delete(boot);
    this.#release(boot, state);
  }

  #suspend(boot: Suspendable, state: Booting): void {
    const leftMs = this.#limitMs - state.usedMs;
    if (leftMs <= 0 || state.suspendedAtMs !== undefined) return;
    state.suspendedAtMs = this.#clock.monotonic();
    state.cancelLimit = this.#clock.after(leftMs, () => this.#release(boot, state));
    boot.suspend();
  }

  #release(boot: Suspendable, state: Booting): void {
    if (state.suspendedAtMs === undefined) return;
    state.cancelLimit();
    state.usedMs += this.#clock.monotonic() - state.suspendedAtMs;
    state.suspendedAtMs = undefined;
    boot.resume();
  }
}
