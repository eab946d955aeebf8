import type { ConformanceCase } from './conformance-case.ts';
import type { JudgedCase } from './run-cases.ts';

export const CONTRACT_PAGE = 'docs/runtime-contract.md';
const EXCHANGES_SHOWN = 12;

/** Where the rule stands: the anchor has its name. */
export const linkOf = (rule: string): string => `${CONTRACT_PAGE}#${rule.toLowerCase()}`;

/** The rule as it stands in the page, to be linked to. */
export const ruleLine = ({ rule, title, offer }: ConformanceCase): string =>
  `- <a id="${rule.toLowerCase()}"></a>**${rule}** ${title}${offer === undefined ? '' : ` (where ${offer} is offered)`}`;

export interface Counts {
  passed: number;
  failed: number;
  notRun: number;
}

export function countResults(judged: JudgedCase[]): Counts {
  const having = (outcome: string): number => judged.filter(({ result }) => result.outcome === outcome).length;
  return { passed: having('passed'), failed: having('failed'), notRun: having('not run') };
}

/** One object, for programs. */
export function jsonReport(of: string, judged: JudgedCase[]): object {
  return {
    contract: '1.0',
    target: of,
    ...countResults(judged),
    cases: judged.map(({ rule, title, result }) => ({ rule, title, link: linkOf(rule), ...result })),
  };
}

/** For the person who has to mend what failed. */
export function textReport(of: string, judged: JudgedCase[]): string {
  const { passed, failed, notRun } = countResults(judged);
  const failures = judged.flatMap(({ rule, title, result }) =>
    result.outcome === 'failed' ? [failureInWords(rule, title, result)] : [],
  );
  return [...failures, ...whyNotRun(judged), `${of}: ${passed} passed, ${failed} failed, ${notRun} not run`].join('\n');
}

function failureInWords(
  rule: string,
  title: string,
  result: Extract<JudgedCase['result'], { outcome: 'failed' }>,
): string {
  const { looksAt, expected, came, exchanges } = result;
  const hidden = exchanges.length - EXCHANGES_SHOWN;
  return [
    `FAILED ${rule}  ${title}`,
    `  rule      ${linkOf(rule)}`,
    `  looked at ${looksAt}`,
    `  expected  ${expected}`,
    `  came      ${came}`,
    ...(exchanges.length > 0 ? ['  exchanges'] : []),
    ...(hidden > 0 ? [`    (${hidden} before these)`] : []),
    ...exchanges.slice(-EXCHANGES_SHOWN).map((line) => `    ${line}`),
    '',
  ].join('\n');
}

function whyNotRun(judged: JudgedCase[]): string[] {
  const byReason = new Map<string, string[]>();
  for (const { rule, result } of judged) {
    if (result.outcome === 'not run') byReason.set(result.why, [...(byReason.get(result.why) ?? []), rule]);
  }
  return [...byReason].map(([why, rules]) => `not run: ${rules.join(', ')}: ${why}`);
}
