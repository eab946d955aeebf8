import { describe, expect, it } from 'vitest';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { BootYield } from './boot-yield.ts';

class TestClock implements Clock {
  #nowMs = 0;
  #timers = new Set<{ atMs: number; task: () => void }>();
  now = (): number => this.#nowMs;
  monotonic = (): number => this.#nowMs;
  after(delayMs: number, task: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
  async pass(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#timers].filter(({ atMs }) => atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#nowMs = due.atMs;
      due.task();
    }
    this.#nowMs = untilMs;
    await Promise.resolve();
  }
}

class TestBoot {
  isSuspended = false;
  suspend = (): void => void (this.isSuspended = true);
  resume = (): void => void (this.isSuspended = false);
}

function setUp() {
  const clock = new TestClock();
  return { clock, boots: new BootYield(clock, 300, 10), boot: new TestBoot() };
}

describe('boots that stand aside for claims', () => {
  it('stop while claims are in flight and go on a moment after the last', async () => {
    const { clock, boots, boot } = setUp();
    boots.add(boot, 0);
    boots.pause();
    expect(boot.isSuspended).toBe(true);
    boots.resume();
    await clock.pass(9);
    boots.pause();
    boots.resume();
    await clock.pass(9);
    expect(boot.isSuspended).toBe(true);
    await clock.pass(1);
    expect(boot.isSuspended).toBe(false);
  });

  it('go on when they have stood aside for as long as the limit, all pauses counted', async () => {
    const { clock, boots, boot } = setUp();
    boots.add(boot, 0);
    boots.pause();
    await clock.pass(190);
    boots.resume();
    await clock.pass(1000);
    boots.pause();
    await clock.pass(99);
    expect(boot.isSuspended).toBe(true);
    await clock.pass(1);
    expect(boot.isSuspended).toBe(false);
    boots.resume();
    boots.pause();
    expect(boot.isSuspended).toBe(false);
  });

  it('count the wait for their start', async () => {
    const { clock, boots, boot } = setUp();
    boots.pause();
    const turn = boots.turn();
    await clock.pass(300);
    boots.add(boot, await turn);
    expect(boot.isSuspended).toBe(false);
  });

  it('start at once when no claim is in flight, else when the last one is over', async () => {
    const { clock, boots } = setUp();
    expect(await boots.turn()).toBe(0);
    boots.pause();
    const turn = boots.turn();
    await clock.pass(50);
    boots.resume();
    await clock.pass(10);
    expect(await turn).toBe(60);
  });

  it('are woken when they are taken off the list, and never stopped again', () => {
    const { boots, boot } = setUp();
    boots.add(boot, 0);
    boots.pause();
    boots.remove(boot);
    expect(boot.isSuspended).toBe(false);
    boots.resume();
    boots.pause();
    expect(boot.isSuspended).toBe(false);
  });

  it('are stopped when they begin during a pause', () => {
    const { boots, boot } = setUp();
    boots.pause();
    boots.add(boot, 0);
    expect(boot.isSuspended).toBe(true);
  });
});
