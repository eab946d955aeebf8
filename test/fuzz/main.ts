import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { optionsOrUsage } from '../support/options-or-usage.ts';
import { archiveCase, FUZZED_FORMATS } from './archive-cases.ts';
import { hasSecondReader, judge } from './judge.ts';

const USAGE = 'usage: npm run fuzz -- [--minutes N] [--seed S] [--from INDEX] [--formats tar,zip,…] [--keep DIR]';
const STALLED_SECONDS = 60;

/** Unpacks made-up archives until the time is over; says each that is handled wrongly, and keeps its bytes in `--keep`. */
async function main({ minutes, seed, from, formats, keep }: Options): Promise<number> {
  if (keep !== undefined) mkdirSync(keep, { recursive: true });
  const withSecond = hasSecondReader();
  if (!withSecond) console.log('without a second reader: bsdtar is not installed');
  const scratch = mkdtempSync(join(tmpdir(), 'warmpool-fuzz-'));
  const progress = watchProgress(seed);
  const endMs = performance.now() + minutes * 60_000;
  let [index, findings] = [from, 0];
  try {
    for (; performance.now() < endMs; index++) {
      Atomics.store(progress, 0, index);
      const archive = archiveCase(seed, index, formats);
      const finding = await judge(archive, scratch, withSecond);
      if (finding === undefined) continue;
      findings++;
      console.log(`seed ${seed} case ${index} (${archive.format}): ${finding}`);
      if (keep !== undefined)
        writeFileSync(join(keep, `${seed}-${index}.${archive.format.split(' ')[0]}`), archive.bytes);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  console.log(`${index - from} archives from seed ${seed}, ${findings} handled wrongly`);
  return findings === 0 ? 0 : 1;
}

/** A reader that never returns would hold this thread for ever: another one ends the process then, and says where. */
function watchProgress(seed: number): Int32Array {
  const progress = new Int32Array(new SharedArrayBuffer(4));
  const source = `
    const { workerData: { progress, seed, limit } } = require('node:worker_threads');
    let [last, same] = [-1, 0];
    setInterval(() => {
      const now = Atomics.load(progress, 0);
      same = now === last ? same + 1 : 0;
      last = now;
      if (same < limit) return;
      require('node:fs').writeSync(1, 'seed ' + seed + ' case ' + now + ': does not end\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 1000);`;
  new Worker(source, { eval: true, workerData: { progress, seed, limit: STALLED_SECONDS } }).unref();
  return progress;
}

type Options = ReturnType<typeof readOptions>;

function readOptions() {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '1' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      from: { type: 'string', default: '0' },
      formats: { type: 'string', default: FUZZED_FORMATS.join(',') },
      keep: { type: 'string' },
    },
  });
  const [minutes = 0, seed = Number.NaN, from = 0] = [values.minutes, values.seed, values.from].map(Number);
  if (!(minutes > 0)) throw new Error(`--minutes: must be a number above 0, not "${values.minutes}"`);
  if (!Number.isInteger(seed)) throw new Error(`--seed: must be a whole number, not "${values.seed}"`);
  if (!Number.isInteger(from) || from < 0) throw new Error(`--from: must be a number from 0 on, not "${values.from}"`);
  const names = values.formats.split(',');
  const unknown = names.find((name) => !FUZZED_FORMATS.some((format) => format === name));
  if (unknown !== undefined) throw new Error(`--formats: there is no "${unknown}", only ${FUZZED_FORMATS.join(', ')}`);
  const formats = FUZZED_FORMATS.filter((format) => names.includes(format));
  return { minutes, seed, from, formats, keep: values.keep };
}

const options = optionsOrUsage(USAGE, readOptions);
if (options !== undefined) process.exitCode = await main(options);
