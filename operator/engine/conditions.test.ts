import { describe, expect, it } from 'vitest';
import type { Condition } from '@warmpool/protocol/warm-pool.ts';
import { findCondition, setCondition, setConditions } from './conditions.ts';

const T0 = Date.UTC(2026, 0, 1, 12, 0, 0, 250);
const LATER = T0 + 60_000;

const notReady = {
  type: 'Ready',
  status: 'False',
  reason: 'Filling',
  message: '0 of 3 standby',
  observedGeneration: 1,
} as const;

function stored(): readonly Condition[] {
  return setCondition([], notReady, T0);
}

describe('setCondition', () => {
  it('adds a condition with the time in whole seconds', () => {
    expect(stored()).toEqual([{ ...notReady, lastTransitionTime: '2026-01-01T12:00:00Z' }]);
  });

  it('returns the very same array when nothing changed, so that nothing is written', () => {
    const before = stored();
    expect(setCondition(before, notReady, LATER)).toBe(before);
    expect(setConditions(before, [notReady, notReady], LATER)).toBe(before);
  });

  it('keeps the transition time while only reason, message or generation change', () => {
    const [after] = setCondition(stored(), { ...notReady, message: '1 of 3 standby', observedGeneration: 2 }, LATER);
    expect(after).toMatchObject({ message: '1 of 3 standby', lastTransitionTime: '2026-01-01T12:00:00Z' });
  });

  it('moves the transition time when the status flips', () => {
    const [after] = setCondition(stored(), { ...notReady, status: 'True', reason: 'Filled', message: '' }, LATER);
    expect(after?.lastTransitionTime).toBe('2026-01-01T12:01:00Z');
  });

  it('leaves other conditions as they are, in their order, and the old array untouched', () => {
    const before = setConditions(stored(), [{ ...notReady, type: 'Progressing' }], T0);
    const after = setCondition(before, { ...notReady, reason: 'Other' }, LATER);
    expect(after.map(({ type, reason }) => [type, reason])).toEqual([
      ['Ready', 'Other'],
      ['Progressing', 'Filling'],
    ]);
    expect(after[1]).toBe(before[1]);
    expect(findCondition(before, 'Ready')?.reason).toBe('Filling');
    expect(findCondition(undefined, 'Ready')).toBeUndefined();
  });
});
