import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { ALL_CASES } from '../../../conformance/all-cases.ts';
import { functionsFolderOf } from '../../../conformance/config.ts';
import { readFunctionSet } from '../../../conformance/functions.ts';
import { prepareFunctions } from '../../../conformance/prepare-functions.ts';
import { textReport } from '../../../conformance/report.ts';
import { runCases } from '../../../conformance/run-cases.ts';
import type { JudgedCase } from '../../../conformance/run-cases.ts';
import { ProcessTarget } from '../../../conformance/targets/process-target.ts';

const LANES = 3;
const WHOLE_KIT_MS = 600_000;

/** Every case of the conformance kit as a test, against a runtime whose test functions are in `conformance/functions/<name>`. */
export function runtimeContract({ name, version, command }: PresentRuntime): void {
  describe(`the ${name} runtime keeps the contract`, () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-functions-'));
    const source = functionsFolderOf(name);
    const offers = new Set<string>(readFunctionSet(source).offers);
    let judged: JudgedCase[] = [];
    beforeAll(async () => {
      const target = new ProcessTarget({
        functions: prepareFunctions(source, folder),
        codePath: folder,
        path: process.env['PATH'] ?? '',
        runtime: { name, version },
        words: () => command,
      });
      judged = await runCases(ALL_CASES, target, { lanes: LANES });
    }, WHOLE_KIT_MS);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it.each(ALL_CASES.filter(({ offer }) => offer === undefined || offers.has(offer)))('$rule: $title', ({ rule }) => {
      const own = judged.filter((each) => each.rule === rule);
      expect(own.map(({ result }) => result.outcome).join(), textReport(name, own)).toBe('passed');
    });
  });
}
