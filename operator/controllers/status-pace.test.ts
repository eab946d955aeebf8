import type { WarmPoolStatus } from '@warmpool/protocol/warm-pool.ts';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { StatusPace } from './status-pace.ts';

const aStatus = (readyReplicas: number, stalled = 'NotStalled', observedGeneration = 1): WarmPoolStatus => ({
  observedGeneration,
  readyReplicas,
  conditions: [
    {
      type: 'Stalled',
      status: stalled === 'NotStalled' ? 'False' : 'True',
      reason: stalled,
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    },
  ],
});

describe('StatusPace', () => {
  it('lets counts change for a while and then has the last of them written', async () => {
    const clock = new VirtualClock();
    const pace = new StatusPace(clock);
    let writes = 0;
    for (let changes = 0; changes < 100; changes++) {
      if (pace.holdMs('p', aStatus(20), aStatus(changes % 20)) === undefined) writes++;
      await clock.advance(10);
    }
    expect(writes).toBeGreaterThanOrEqual(3);
    expect(writes).toBeLessThanOrEqual(4);
  });

  it('counts the wait from the first change, whatever comes after it', async () => {
    const clock = new VirtualClock();
    const pace = new StatusPace(clock);
    const holdMs = pace.holdMs('p', aStatus(20), aStatus(19)) ?? 0;
    expect(holdMs).toBeGreaterThan(0);
    await clock.advance(holdMs - 1);
    expect(pace.holdMs('p', aStatus(20), aStatus(18))).toBe(1);
    await clock.advance(1);
    expect(pace.holdMs('p', aStatus(20), aStatus(17))).toBeUndefined();
  });

  it('does not hold back the first status, a new generation, trouble and its end', () => {
    const pace = new StatusPace(new VirtualClock());
    expect(pace.holdMs('p', undefined, aStatus(0))).toBeUndefined();
    expect(pace.holdMs('p', aStatus(2), aStatus(2, 'NotStalled', 2))).toBeUndefined();
    expect(pace.holdMs('p', aStatus(2), aStatus(2, 'QuotaExceeded'))).toBeUndefined();
    expect(pace.holdMs('p', aStatus(2, 'QuotaExceeded'), aStatus(2))).toBeUndefined();
  });

  it('holds each pool by itself, and begins anew when there was nothing left to write', async () => {
    const clock = new VirtualClock();
    const pace = new StatusPace(clock);
    const holdMs = pace.holdMs('p', aStatus(20), aStatus(19)) ?? 0;
    await clock.advance(holdMs);
    expect(pace.holdMs('q', aStatus(20), aStatus(19))).toBe(holdMs);
    pace.settled('p');
    expect(pace.holdMs('p', aStatus(20), aStatus(19))).toBe(holdMs);
  });
});
