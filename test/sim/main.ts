import { parseArgs } from 'node:util';
import { optionsOrUsage } from '../support/options-or-usage.ts';
import { World } from './world.ts';

const USAGE = 'usage: npm run sim -- [--seeds N] [--seed S] [--keep-going] [--verbose]';

/** Runs seeds one after the other; stops at the first that breaks a promise, unless told to keep going. */
async function main({ first, count, isVerbose, keepsGoing }: Options): Promise<number> {
  // worlds are full of errors, and nobody reads their stacks
  Error.stackTraceLimit = 0;
  const startedMs = performance.now();
  let failed = 0;
  let virtualMs = 0;
  for (let seed = first; seed < first + count; seed++) {
    const world = new World({ seed, ...(isVerbose && { print: (line: string) => console.log(line) }) });
    const result = await world.run();
    virtualMs += result.virtualMs;
    if (result.violation === undefined) continue;
    failed++;
    console.log(`SEED=${seed} ${result.violation.message}`);
    if (keepsGoing) continue;
    if (!isVerbose) console.log(result.lastLines.join('\n'));
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

type Options = ReturnType<typeof readOptions>;

function readOptions() {
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
  if (!Number.isInteger(first)) throw new Error(`--seed: must be a whole number, not "${values.seed}"`);
  if (!Number.isInteger(count) || count < 1)
    throw new Error(`--seeds: must be a number from 1 on, not "${values.seeds}"`);
  return { first, count, isVerbose: values.verbose, keepsGoing: values['keep-going'] };
}

const options = optionsOrUsage(USAGE, readOptions);
if (options !== undefined) process.exitCode = await main(options);
