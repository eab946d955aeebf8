import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sleep } from '../clock.ts';
import { VirtualClock } from './fake-clock.ts';

describe('VirtualClock', () => {
  it('runs timers in the order they are due, and in the order they were set when due together', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(50), fc.boolean()), { maxLength: 60 }), async (timers) => {
        const clock = new VirtualClock();
        const ran: { due: number; index: number }[] = [];
        timers.forEach(([delay, isCancelled], index) => {
          const cancel = clock.after(delay, () => ran.push({ due: clock.monotonic(), index }));
          if (isCancelled) cancel();
        });
        await clock.advance(50);
        const expected = timers
          .map(([due, isCancelled], index) => ({ due, index, isCancelled }))
          .filter(({ isCancelled }) => !isCancelled)
          .sort((a, b) => a.due - b.due || a.index - b.index)
          .map(({ due, index }) => ({ due, index }));
        expect(ran).toEqual(expected);
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it('lets everything that a timer sets off come to rest before the next timer', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.after(10, () => {
      void (async () => {
        for (let step = 0; step < 20; step++) await Promise.resolve();
        seen.push('first, after many awaits');
      })();
    });
    clock.after(10, () => seen.push('second'));
    await clock.advance(10);
    expect(seen).toEqual(['first, after many awaits', 'second']);
  });

  it('runs timers that are set while it advances, if they fall due in time', async () => {
    const clock = new VirtualClock();
    const times: number[] = [];
    const loop = async (): Promise<void> => {
      for (;;) {
        await sleep(clock, 30);
        times.push(clock.monotonic());
      }
    };
    void loop();
    await clock.advance(100);
    expect(times).toEqual([30, 60, 90]);
    expect(clock.monotonic()).toBe(100);
    expect(clock.nextDelayMs).toBe(20);
  });

  it('says so when a condition cannot come true', async () => {
    const clock = new VirtualClock();
    await expect(clock.runUntil(() => false, 1000)).rejects.toThrow('nothing is scheduled any more');
    clock.after(5000, () => undefined);
    await expect(clock.runUntil(() => false, 1000)).rejects.toThrow('after 1000 ms of virtual time');
  });

  it('can jump over timers, which are then overdue', async () => {
    const clock = new VirtualClock();
    let ranAt = -1;
    clock.after(10, () => (ranAt = clock.monotonic()));
    clock.jump(500);
    expect(ranAt).toBe(-1);
    await clock.advance(0);
    expect(ranAt).toBe(500);
  });
});
