import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ALL_CASES } from './all-cases.ts';
import { readConfig, USAGE, wantsHelp } from './config.ts';
import type { ConformanceConfig } from './config.ts';
import { createTarget } from './create-target.ts';
import { countResults, jsonReport, textReport } from './report.ts';
import { runCases } from './run-cases.ts';

/** `npm run conformance`: exit code 0 when every case that was run passed, 1 when one failed, 2 when nothing could be run. */

const CANNOT_RUN = 2;

try {
  if (wantsHelp()) process.stdout.write(`${USAGE}\n`);
  else process.exitCode = await main(readConfig(process.argv.slice(2), process.env));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`);
  process.exitCode = CANNOT_RUN;
}

async function main(config: ConformanceConfig): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-functions-'));
  try {
    const target = await createTarget(config, folder);
    if (target.ownsProcesses) await (await target.start())?.dispose();
    const cases = config.only.length === 0 ? ALL_CASES : ALL_CASES.filter(({ rule }) => config.only.includes(rule));
    const isTalking = !config.json && process.stderr.isTTY;
    let done = 0;
    const judged = await runCases(cases, target, {
      lanes: config.lanes,
      onResult: ({ rule }) => {
        if (isTalking) process.stderr.write(`\r${++done}/${cases.length} ${rule}          `);
      },
    });
    if (isTalking) process.stderr.write('\r');
    const name = config.targets.join(' ');
    process.stdout.write(`${config.json ? JSON.stringify(jsonReport(name, judged)) : textReport(name, judged)}\n`);
    const { passed, failed } = countResults(judged);
    if (passed + failed === 0) return CANNOT_RUN;
    return failed > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
