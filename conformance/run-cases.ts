import type { ConformanceCase } from './conformance-case.ts';
import { Lane } from './lane.ts';
import type { CaseResult, Target } from './lane.ts';

export interface JudgedCase {
  rule: string;
  title: string;
  result: CaseResult;
}

/** Those that share a process first, so that a target with one process left runs as many as it can. */
const ORDER = ['standby', 'loaded', 'fresh'];

/** Runs the cases side by side in `lanes` lanes, and gives the results in the cases' own order. */
export async function runCases(
  cases: ConformanceCase[],
  target: Target,
  { lanes, onResult = () => {} }: { lanes: number; onResult?: (judged: JudgedCase) => void },
): Promise<JudgedCase[]> {
  const queue = cases.toSorted((one, other) => ORDER.indexOf(one.begins) - ORDER.indexOf(other.begins));
  const results = new Map<string, JudgedCase>();
  const work = async (): Promise<void> => {
    const lane = new Lane(target);
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        const judged = { rule: next.rule, title: next.title, result: await lane.run(next) };
        results.set(next.rule, judged);
        onResult(judged);
      }
    } finally {
      await lane.dispose();
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, cases.length) }, work));
  return cases.flatMap(({ rule }) => results.get(rule) ?? []);
}
