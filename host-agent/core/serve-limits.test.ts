import { expect, test } from 'vitest';
import { ServeLimits } from './serve-limits.ts';

test('so many at once, and a place that is given back twice is one place', () => {
  const limits = new ServeLimits({ connections: 2, bytesPerSecond: 0 });
  const [first, second] = [limits.enter(), limits.enter()];
  expect(limits.enter()).toBeUndefined();
  first?.();
  first?.();
  expect(limits.active).toBe(1);
  expect([limits.enter(), limits.enter()].map((place) => place !== undefined)).toEqual([true, false]);
  second?.();
});

test('nobody is taken in who would get less than 1 MiB/s, but one always is', () => {
  const limits = new ServeLimits({ connections: 8, bytesPerSecond: 2.5 * 1024 * 1024 });
  expect([1, 2, 3].map(() => limits.enter() !== undefined)).toEqual([true, true, false]);
  const slow = new ServeLimits({ connections: 8, bytesPerSecond: 1_000 });
  expect([1, 2].map(() => slow.enter() !== undefined)).toEqual([true, false]);
});

test('bytes wait until those before them are through', () => {
  const limits = new ServeLimits({ connections: 8, bytesPerSecond: 1_000 });
  expect([limits.delayMs(500, 0), limits.delayMs(500, 0), limits.delayMs(100, 900)]).toEqual([0, 500, 100]);
  expect(limits.delayMs(100, 5_000)).toBe(0);
  expect(new ServeLimits({ connections: 8, bytesPerSecond: 0 }).delayMs(1e9, 0)).toBe(0);
});
