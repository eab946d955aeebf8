import { parseArgs } from 'node:util';
import { World } from './world.ts';

const USAGE = 'npm run sim -- [--seeds N] [--seed S] [--keep-going] [--verbose]';

/** Runs seeds one after the other; stops at the first that breaks a promise, unless told to keep going. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
    },
  });
  const first = Number(values.seed ?? 1);
  const count = Number(values.seeds ?? (values.seed === undefined ? 300 : 1));
  if (!Number.isInteger(first) || !Number.isInteger(count) || count < 1) {
    console.error(`--seed and --seeds must be whole numbers. ${USAGE}`);
    return 2;
  }
  // worlds are full of errors, and nobody reads their stacks
  Error.stackTraceLimit = 0;
  const startedMs = performance.now();
  let failed = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + count; seed++) {
    const world = new World({ seed, ...(values.verbose && { print: (line: string) => console.log(line) }) });
    const result = await world.run();
    virtualMs += result.virtualMs;
    if (result.violation === undefined) continue;
    failed++;
    console.log(`SEED=${seed} ${result.violation.message}`);
    if (values['keep-going']) continue;
    if (!values.verbose) console.log(result.lastLines.join('\n'));
    console.log(`again: npm run sim -- --seed ${seed} --verbose`);
    return 1;
  }
  const seconds = (performance.now() - startedMs) / 1000;
  const perSeedMs = Math.round((seconds * 1000) / count);
  console.log(
    `${count} seeds, ${failed} failed, ${Math.round(virtualMs / 60_000)} virtual minutes in ${seconds.toFixed(1)} s (${perSeedMs} ms a seed)`,
  );
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
