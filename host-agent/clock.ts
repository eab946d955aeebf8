import { setTimeout as delay } from 'node:timers/promises';

/** Time as a dependency, so that back-off and expiry can be tested without waiting. */
export interface Clock {
  /** Unix milliseconds: grants and deadlines come from other machines. */
  now(): number;
  /** Monotonic milliseconds with a fraction, for durations. */
  monotonic(): number;
  /** Rejects with the signal's reason as soon as it aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(delayMs, signal) {
    try {
      await delay(delayMs, undefined, signal ? { signal } : {});
    } catch (error) {
      throw signal?.reason ?? error;
    }
  },
};
