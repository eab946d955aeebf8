import { afterEach, describe, expect, it } from 'vitest';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { badCodeCases } from './bad-code-cases.ts';
import { environmentCases } from './environment-cases.ts';
import type { RuntimeFixtures } from './fixtures.ts';
import { httpAppCases } from './http-app-cases.ts';
import { invokeCases } from './invoke-cases.ts';
import { killCases } from './kill-cases.ts';
import { lifeCases } from './life-cases.ts';
import { loadCases } from './load-cases.ts';
import { logCases } from './log-cases.ts';
import { socketCases } from './socket-cases.ts';
import { StartedRuntime } from './started-runtime.ts';
import type { StartOptions } from './started-runtime.ts';

/** What every file of cases gets. Processes started by `start` are gone after the case. */
export interface Bench {
  fixtures: RuntimeFixtures;
  start: (options?: StartOptions) => Promise<StartedRuntime>;
}

/**
 * The contract of docs/runtime-contract.md as black-box cases, for any runtime that a manifest describes. A language calls it
 * from `test/local/runtime-<language>.test.ts` with its own writing of the functions in fixtures.ts:
 *
 *   runtimeContract(await describeRuntime(folder), fixtures);
 */
export function runtimeContract(runtime: RuntimeDescription, fixtures: RuntimeFixtures): void {
  describe(`the ${runtime.name} runtime`, () => {
    if ('missing' in runtime) {
      it('can be started on this machine', () => {
        expect.fail(runtime.missing);
      });
      return;
    }
    const started: StartedRuntime[] = [];
    afterEach(async () => {
      await Promise.all(started.splice(0).map((each) => each.dispose()));
    });
    const start = async (options?: StartOptions): Promise<StartedRuntime> => {
      const each = await StartedRuntime.start(runtime, options);
      started.push(each);
      return each;
    };
    const bench: Bench = { fixtures, start };
    describe('life', () => lifeCases(bench));
    describe('control socket', () => socketCases(bench));
    describe('load', () => loadCases(bench));
    describe('environment', () => environmentCases(bench));
    describe('code that is wrong', () => badCodeCases(bench));
    describe('invoke', () => invokeCases(bench));
    describe('kill', () => killCases(bench));
    describe('logs', () => logCases(bench));
    describe('apps', () => httpAppCases(bench));
  });
}
