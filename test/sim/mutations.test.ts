import { describe, expect, it } from 'vitest';
import type { Sabotage } from './sabotage.ts';
import type { InvariantName } from './violation.ts';
import { World } from './world.ts';

interface Mutation {
  what: string;
  sabotage: Sabotage;
  invariant: InvariantName;
  /** One of this many seeds that breaks it is enough. */
  seeds: number;
  /** Where to begin, default 1: a rare one is looked for where it is known to be near. */
  from?: number;
}

const MUTATIONS: Mutation[] = [
  {
    what: 'claims and removals that do not test what they start from',
    sabotage: { stripsTests: true },
    invariant: 'I1',
    seeds: 20,
  },
  {
    what: 'a process that takes the loads of two leaders',
    sabotage: { acceptsTwoLoads: true, everybodyLeads: true },
    invariant: 'I1',
    seeds: 20,
  },
  {
    what: 'two leaders that answer the same claim',
    sabotage: { everybodyLeads: true },
    invariant: 'I3',
    seeds: 20,
    from: 26,
  },
  { what: 'pods that are never deleted', sabotage: { forgetsDeletions: true }, invariant: 'I4', seeds: 10 },
  {
    what: 'two leaders that clean up after each other',
    sabotage: { everybodyLeads: true },
    invariant: 'I5',
    seeds: 20,
  },
  { what: 'pools that never see their own pods', sabotage: { hidesStandbyPods: true }, invariant: 'I6', seeds: 10 },
  { what: 'deaths that nobody reports', sabotage: { hidesDeaths: true }, invariant: 'I8', seeds: 20 },
  { what: 'pools that nobody fills', sabotage: { hidesStandbyPods: true }, invariant: 'liveness', seeds: 5 },
];

/** The number of the first seed that breaks it. A simulation that cannot fail proves nothing. */
async function firstBroken({ sabotage, invariant, seeds, from = 1 }: Mutation): Promise<number | undefined> {
  for (let seed = from; seed < from + seeds; seed++) {
    const { violation } = await new World({ seed, sabotage, invariants: [invariant] }).run();
    if (violation !== undefined) return seed;
  }
  return undefined;
}

describe('the simulation notices', () => {
  it.each(MUTATIONS)('$what: $invariant', async (mutation) => {
    expect(await firstBroken(mutation)).toBeDefined();
  });
});
