import { afterEach, beforeEach, describe } from 'vitest';
import { deletion } from './deletion.ts';
import { jsonPatches } from './json-patches.ts';
import { kinds } from './kinds.ts';
import { listing } from './listing.ts';
import { watches } from './watches.ts';
import type { ContractWorld, MakeWorld } from './world.ts';
import { writes } from './writes.ts';

/** What every implementation of the port does; run against the memory cluster and against a real apiserver, so that they cannot drift. */
export function kubeClientContract(name: string, makeWorld: MakeWorld, options: { skip?: boolean } = {}): void {
  describe.skipIf(options.skip ?? false)(`KubeClient contract: ${name}`, () => {
    let world: ContractWorld;
    beforeEach(async () => {
      world = await makeWorld();
    });
    afterEach(async () => {
      await world.close();
    });
    const current = (): ContractWorld => world;
    describe('writes', () => writes(current));
    describe('JSON patches', () => jsonPatches(current));
    describe('deletion', () => deletion(current));
    describe('lists', () => listing(current));
    describe('watches', () => watches(current));
    describe('kinds', () => kinds(current));
  });
}
