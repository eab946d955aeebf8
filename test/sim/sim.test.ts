import { describe, expect, it } from 'vitest';
import { CORPUS } from './corpus.ts';
import { World, type WorldResult } from './world.ts';

const SEEDS = 200;
const SEEDS_PER_TEST = 25;

async function run(seed: number): Promise<WorldResult> {
  return new World({ seed }).run();
}

/** Empty when the seed kept every promise; else all that is needed to understand it and to see it again. */
function complaint({ seed, violation, lastLines }: WorldResult): string {
  if (violation === undefined) return '';
  return [`SEED=${seed}`, violation.message, ...lastLines, `npm run sim -- --seed ${seed} --verbose`].join('\n');
}

describe('whatever crashes when, the operator keeps its promises', () => {
  it.each(CORPUS)('where once $found (seed $seed)', async ({ seed }) => {
    expect(complaint(await run(seed))).toBe('');
  });

  const starts = Array.from({ length: SEEDS / SEEDS_PER_TEST }, (_, index) => 10_000 + index * SEEDS_PER_TEST);
  it.each(starts)(`in ${SEEDS_PER_TEST} worlds from seed %i on`, async (start) => {
    for (let seed = start; seed < start + SEEDS_PER_TEST; seed++) expect(complaint(await run(seed))).toBe('');
  });
});

describe('the simulation', () => {
  it('replays a seed step by step', async () => {
    for (const seed of [3, 350]) {
      const first = await run(seed);
      const second = await run(seed);
      expect(second.fingerprint).toBe(first.fingerprint);
    }
  });

  it('shows different worlds for different seeds', async () => {
    expect((await run(1)).fingerprint).not.toBe((await run(2)).fingerprint);
  });
});
