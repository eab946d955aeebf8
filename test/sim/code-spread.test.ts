import { describe, expect, it } from 'vitest';
import { CodeSpreadWorld, type CodeSpreadOptions, type CodeSpreadResult } from './code-spread-world.ts';

const NODES = 1_000;
const SEEDS = Array.from({ length: 10 }, (_, index) => index + 1);

function run(change: Partial<CodeSpreadOptions> & { seed: number }): CodeSpreadResult {
  return new CodeSpreadWorld({ nodes: NODES, withinMs: 200, diesChance: 0, busyChance: 0, ...change }).run();
}

describe('one object that a thousand nodes need within 200 ms', () => {
  it.each(SEEDS)('is read from its origin twice, and there everywhere soon after (seed %i)', (seed) => {
    const result = run({ seed });
    expect(result).toMatchObject({ originReads: 2, arrived: NODES, died: 0 });
    expect(result.mostTransfersAtOnce).toBeLessThanOrEqual(4);
    // the origin alone, at the 50 MB/s of one connection and a thousand at once, would send 20 GB
    expect(result.endedMs).toBeLessThan(3_000);
  });

  it.each(SEEDS)('is read a handful of times when one node in fifty dies and one in ten is busy (seed %i)', (seed) => {
    const result = run({ seed, diesChance: 0.02, busyChance: 0.1 });
    expect(result.arrived + result.died).toBe(NODES);
    expect(result.originReads).toBeLessThanOrEqual(20);
    expect(result.mostTransfersAtOnce).toBeLessThanOrEqual(8);
  });

  it('spreads in the same way from the same seed', () => {
    const options = { seed: 7, diesChance: 0.05, busyChance: 0.1 };
    expect(run(options)).toEqual(run(options));
  });
});

it('one node after the other: only the first reads the origin', () => {
  expect(run({ seed: 1, nodes: 50, withinMs: 100_000 }).originReads).toBeLessThanOrEqual(2);
});
