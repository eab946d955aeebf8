import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { Prng } from './prng.ts';

/** Whether anything may still go wrong, and the clockwork that makes things go wrong. */
export class Faults {
  readonly #clock: Clock;
  readonly #random: Prng;
  #isOn = true;

  constructor(clock: Clock, random: Prng) {
    this.#clock = clock;
    this.#random = random;
  }

  get isOn(): boolean {
    return this.#isOn;
  }

  /** From now on everything works. */
  stop(): void {
    this.#isOn = false;
  }

  chance(probability: number): boolean {
    return this.#isOn && this.#random.chance(probability);
  }

  /** Does it again and again, on average this often, while faults go on. */
  repeat(everyMs: number, action: () => void): void {
    if (!Number.isFinite(everyMs)) return;
    this.#clock.after(everyMs * (0.3 + 1.4 * this.#random.next()), () => {
      if (!this.#isOn) return;
      action();
      this.repeat(everyMs, action);
    });
  }
}
