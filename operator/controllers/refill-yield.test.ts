import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { RefillYield } from './refill-yield.ts';

describe('RefillYield', () => {
  it('holds a pool back while claims load, and lets it go when none does', () => {
    let isLoading = true;
    const refill = new RefillYield(
      new VirtualClock(),
      () => isLoading,
      () => false,
    );
    expect(refill.holdMs('p')).toBeGreaterThan(0);
    isLoading = false;
    expect(refill.holdMs('p')).toBeUndefined();
  });

  it('lets a pool go that claims wait for', () => {
    const refill = new RefillYield(
      new VirtualClock(),
      () => true,
      (pool) => pool === 'empty',
    );
    expect(refill.holdMs('empty')).toBeUndefined();
    expect(refill.holdMs('other')).toBeGreaterThan(0);
  });

  it('does not starve a pool under claims without a gap', async () => {
    const clock = new VirtualClock();
    const refill = new RefillYield(
      clock,
      () => true,
      () => false,
    );
    let heldMs = 0;
    for (let holdMs = refill.holdMs('p'); holdMs !== undefined; holdMs = refill.holdMs('p')) {
      await clock.advance(holdMs);
      heldMs += holdMs;
    }
    expect(heldMs).toBeLessThanOrEqual(504);
    expect(refill.holdMs('p')).toBeGreaterThan(0);
  });

  it('does not starve a pool whose pods change all the time', async () => {
    const clock = new VirtualClock();
    const refill = new RefillYield(
      clock,
      () => true,
      () => false,
    );
    let heldMs = 0;
    for (let holdMs = refill.holdMs('p'); holdMs !== undefined && heldMs < 5_000; holdMs = refill.holdMs('p')) {
      await clock.advance(holdMs);
      heldMs += holdMs;
      expect(refill.pauseMs('p')).toBeGreaterThan(0);
    }
    expect(heldMs).toBeLessThanOrEqual(504);
  });
});
