import type { Clock } from '../../operator/engine/clock.ts';

/** Real time, seen through a faster clock: back-offs of half a minute pass in seconds, while sockets stay what they are. */
export function fastClock(speed: number): Clock {
  return {
    now: () => performance.timeOrigin + performance.now() * speed,
    monotonic: () => performance.now() * speed,
    after(delayMs, task) {
      const timer = setTimeout(task, delayMs / speed);
      return () => clearTimeout(timer);
    },
  };
}
