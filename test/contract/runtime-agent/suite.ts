import { describe } from 'vitest';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import type { RuntimeFixtures } from './fixtures.ts';

/**
 * The contract of docs/runtime-contract.md as black-box cases, for any runtime that a manifest describes. A language calls it
 * from `test/local/runtime-<language>.test.ts` with its own writing of the functions in fixtures.ts:
 *
 *   runtimeContract(await describeRuntime(fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url))), fixtures);
 */
export function runtimeContract(runtime: RuntimeDescription, fixtures: RuntimeFixtures): void {
  describe(`the ${runtime.name} runtime`, () => {
    void fixtures;
  });
}
