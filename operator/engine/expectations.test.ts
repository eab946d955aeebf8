import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Expectations } from './expectations.ts';
import { VirtualClock } from './testing/fake-clock.ts';

const POOL = 'default/web';

function expectations(): { clock: VirtualClock; writes: Expectations } {
  const clock = new VirtualClock();
  return { clock, writes: new Expectations(clock) };
}

describe('Expectations', () => {
  it('are satisfied where nothing was written', () => {
    expect(expectations().writes.satisfied(POOL)).toBe(true);
  });

  it('hold until every created object has been seen', () => {
    const { writes } = expectations();
    writes.expectCreations(POOL, 2);
    writes.creationReturned(POOL, 'a');
    writes.creationReturned(POOL, 'b');
    writes.creationObserved(POOL, 'a');
    expect(writes.satisfied(POOL)).toBe(false);
    writes.creationObserved(POOL, 'b');
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('count an object once that is seen before its create call returns', () => {
    const { writes } = expectations();
    writes.expectCreations(POOL, 2);
    writes.creationObserved(POOL, 'a');
    writes.creationObserved(POOL, 'a');
    writes.creationReturned(POOL, 'a');
    expect(writes.satisfied(POOL)).toBe(false);
    writes.creationReturned(POOL, 'b');
    expect(writes.satisfied(POOL)).toBe(false);
    writes.creationObserved(POOL, 'b');
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('are not taken in by objects that somebody else made meanwhile', () => {
    const { writes } = expectations();
    writes.expectCreations(POOL, 1);
    writes.creationObserved(POOL, 'stranger');
    writes.creationReturned(POOL, 'ours');
    writes.creationObserved(POOL, 'another stranger');
    expect(writes.satisfied(POOL)).toBe(false);
    writes.creationObserved(POOL, 'ours');
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('do not wait for a call that failed for certain', () => {
    const { writes } = expectations();
    writes.expectCreations(POOL, 2);
    writes.creationFailed(POOL);
    writes.creationReturned(POOL, 'a');
    writes.creationObserved(POOL, 'a');
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('wait for the object of a call that got no answer, whether it is seen before or after', () => {
    for (const isSeenFirst of [true, false]) {
      const { writes } = expectations();
      writes.expectCreations(POOL, 1);
      if (isSeenFirst) writes.creationObserved(POOL, 'a');
      writes.creationUnknown(POOL);
      if (!isSeenFirst) {
        expect(writes.satisfied(POOL)).toBe(false);
        writes.creationObserved(POOL, 'a');
      }
      expect(writes.satisfied(POOL)).toBe(true);
    }
  });

  it('hold until a deleted object is gone', () => {
    const { writes } = expectations();
    writes.expectDeletion(POOL, 'a');
    writes.expectDeletion(POOL, 'b');
    writes.deletionObserved(POOL, 'b');
    writes.deletionObserved(POOL, 'c');
    expect(writes.satisfied(POOL)).toBe(false);
    writes.deletionObserved(POOL, 'a');
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('keep pools apart, and forget one that is gone', () => {
    const { writes } = expectations();
    writes.expectDeletion(POOL, 'a');
    expect(writes.satisfied('default/other')).toBe(true);
    writes.forget(POOL);
    expect(writes.satisfied(POOL)).toBe(true);
  });

  it('give up five minutes after the last write, so that a pool cannot hang for good', async () => {
    const { clock, writes } = expectations();
    writes.expectCreations(POOL, 1);
    writes.creationReturned(POOL, 'lost');
    await clock.advance(60_000);
    writes.expectDeletion(POOL, 'a');
    await clock.advance(299_000);
    expect(writes.satisfied(POOL)).toBe(false);
    expect(writes.expiresInMs(POOL)).toBe(1_000);
    await clock.advance(1_000);
    expect(writes.satisfied(POOL)).toBe(true);
    expect(writes.expiresInMs(POOL)).toBeUndefined();
  });

  it('are satisfied exactly when every object that was made has been seen, in whatever order answers and events come', () => {
    const outcome = fc.record({
      answer: fc.constantFrom('ok' as const, 'failed' as const, 'unknown' as const),
      answerAt: fc.nat(100),
      eventAt: fc.nat(100),
    });
    fc.assert(
      fc.property(fc.array(outcome, { minLength: 1, maxLength: 12 }), (outcomes) => {
        const { writes } = expectations();
        writes.expectCreations(POOL, outcomes.length);
        const steps = outcomes.flatMap(({ answer, answerAt, eventAt }, index) => {
          const uid = `uid-${index}`;
          const end = (): void => {
            if (answer === 'ok') writes.creationReturned(POOL, uid);
            else if (answer === 'failed') writes.creationFailed(POOL);
            else writes.creationUnknown(POOL);
          };
          // A call without an answer did make something here; a failed one did not.
          const event = { at: eventAt, run: () => writes.creationObserved(POOL, uid) };
          return [{ at: answerAt, run: end }, ...(answer === 'failed' ? [] : [event])];
        });
        steps.sort((a, b) => a.at - b.at);
        for (const [index, step] of steps.entries()) {
          step.run();
          expect(writes.satisfied(POOL), `after step ${index + 1} of ${steps.length}`).toBe(index === steps.length - 1);
        }
      }),
      { numRuns: 500 },
    );
  });
});
