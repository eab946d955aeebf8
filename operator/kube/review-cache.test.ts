import { expect, it } from 'vitest';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { ReviewCache } from './review-cache.ts';

it('reviews a grant again after the call that found it half over, not at the same time', async () => {
  const clock = new VirtualClock();
  const cache = new ReviewCache<true>(clock, { limit: 10, allowTtlMs: 10_000, denyTtlMs: 2_000 });
  let reviews = 0;
  const review = async (): Promise<{ value: true }> => {
    reviews++;
    return { value: true };
  };
  await cache.get('caller', review);
  await clock.advance(6_000);
  expect(cache.known('caller', review)).toEqual({ value: true });
  await clock.advance(50);
  expect(reviews).toBe(1);
  await clock.advance(100);
  expect(reviews).toBe(2);
  // renewed: the first one would have ended by now
  await clock.advance(9_000);
  expect(cache.known('caller', review)).toEqual({ value: true });
});
