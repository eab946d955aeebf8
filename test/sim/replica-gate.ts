import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { Prng } from './prng.ts';

/**
 * Everything that reaches a process from outside passes here: its timers, its replies, its watch events, its callers. A paused process
 * gets them later, all at once; a dead one never.
 */
export class ReplicaGate {
  readonly #clock: Clock;
  readonly #random: Prng;
  #state: 'open' | 'paused' | 'dead' = 'open';
  #held: (() => void)[] = [];
  readonly #onDeath = new Set<() => void>();

  constructor(clock: Clock, random: Prng) {
    this.#clock = clock;
    this.#random = random;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isPaused(): boolean {
    return this.#state === 'paused';
  }

  deliver(task: () => void): void {
    if (this.#state === 'open') task();
    else if (this.#state === 'paused') this.#held.push(task);
  }

  pause(): void {
    if (this.#state === 'open') this.#state = 'paused';
  }

  /** What was held arrives within a few milliseconds in any order: a process that wakes up sees sockets and timers at once. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'open';
    const held = this.#held;
    this.#held = [];
    for (const task of held) this.#clock.after(this.#random.next() * 3, () => this.deliver(task));
  }

  die(): void {
    this.#state = 'dead';
    this.#held = [];
    for (const tell of this.#onDeath) tell();
    this.#onDeath.clear();
  }

  onDeath(tell: () => void): () => void {
    this.#onDeath.add(tell);
    return () => this.#onDeath.delete(tell);
  }

  /** The process's own clock: time goes on while it is paused, its timers do not. */
  clock(): Clock {
    const world = this.#clock;
    return {
      now: () => world.now(),
      monotonic: () => world.monotonic(),
      after: (delayMs, task) => {
        let isCancelled = false;
        const cancel = world.after(delayMs, () => this.deliver(() => isCancelled || task()));
        return () => {
          isCancelled = true;
          cancel();
        };
      },
    };
  }
}
