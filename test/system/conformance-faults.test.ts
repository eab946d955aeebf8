import { describe, expect, it } from 'vitest';
import { ALL_CASES } from '../../conformance/all-cases.ts';
import { textReport } from '../../conformance/report.ts';
import { runCases } from '../../conformance/run-cases.ts';
import { ModelTarget } from '../support/model-runtime/model-target.ts';

/** For each rule of the contract a runtime that breaks it and keeps all the others: the kit must point at exactly that one. */

const LANES = 8;
const FAULT_MS = 120_000;

async function failedOf(target: ModelTarget): Promise<{ rules: string[]; report: string }> {
  const judged = await runCases(ALL_CASES, target, { lanes: LANES });
  const failed = judged.filter(({ result }) => result.outcome !== 'passed');
  return { rules: failed.map(({ rule }) => rule), report: textReport('the model runtime', failed) };
}

it(
  'a runtime that keeps every rule passes every case',
  async () => {
    const { rules, report } = await failedOf(new ModelTarget());
    expect(rules, report).toEqual([]);
  },
  FAULT_MS,
);

describe.concurrent('a runtime that breaks', () => {
  it.each(ALL_CASES)(
    '$rule fails exactly that case ($title)',
    async ({ rule }) => {
      const { rules, report } = await failedOf(new ModelTarget(rule));
      expect(rules, report).toEqual([rule]);
    },
    FAULT_MS,
  );
});
