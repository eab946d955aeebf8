import { expect, it } from 'vitest';
import { pooledRandomHex } from './random-hex.ts';

it('never gives the same bytes twice, whatever the sizes', () => {
  const randomHex = pooledRandomHex();
  const sizes = Array.from({ length: 2000 }, (_, index) => [16, 32, 625][index % 3] ?? 16);
  const drawn = sizes.map((bytes) => randomHex(bytes));
  expect(drawn.map((hex) => hex.length)).toEqual(sizes.map((bytes) => bytes * 2));
  expect(new Set(drawn.map((hex) => hex.slice(0, 32))).size).toBe(sizes.length);
});
