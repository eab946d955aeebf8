import { describe, expect, it } from 'vitest';
import { distribution, machine } from './figures.ts';

describe('a distribution', () => {
  it('has nearest-rank percentiles: each is a value that was measured', () => {
    const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(distribution(samples)).toEqual({ p50: 50, p95: 95, p99: 99, max: 100 });
    expect(distribution([3, 1, 2])).toEqual({ p50: 2, p95: 3, p99: 3, max: 3 });
    expect(distribution([7])).toEqual({ p50: 7, p95: 7, p99: 7, max: 7 });
  });

  it('sorts numbers as numbers and leaves the samples as they were', () => {
    const samples = [10, 9, 100];
    expect(distribution(samples).max).toBe(100);
    expect(samples).toEqual([10, 9, 100]);
  });

  it('of nothing is no number, never 0: a run without samples must not look fast', () => {
    expect(Object.values(distribution([])).every(Number.isNaN)).toBe(true);
  });

  it('is rounded to two decimals', () => {
    expect(distribution([1.23456]).p50).toBe(1.23);
  });
});

it('the machine is named, so that figures can be compared', () => {
  const { cores, memoryGiB, node } = machine();
  expect(cores).toBeGreaterThan(0);
  expect(memoryGiB).toBeGreaterThanOrEqual(0);
  expect(node).toBe(process.version);
});
