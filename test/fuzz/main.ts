import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { archiveCase, FUZZED_FORMATS } from './archive-cases.ts';
import { hasSecondReader, judge } from './judge.ts';

const USAGE = 'npm run fuzz -- [--minutes N] [--seed S] [--from INDEX] [--formats tar,zip,…] [--keep DIR]';
const STALLED_SECONDS = 60;

/** Unpacks made-up archives until the time is over; says each that is handled wrongly, and keeps its bytes in `--keep`. */
async function main(): Promise<number> {
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
  const formats = FUZZED_FORMATS.filter((format) => values.formats.split(',').includes(format));
  if (!(minutes > 0) || !Number.isInteger(seed) || !Number.isInteger(from) || formats.length === 0) {
    console.error(USAGE);
    return 2;
  }
  if (values.keep !== undefined) mkdirSync(values.keep, { recursive: true });
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
      if (values.keep !== undefined)
        writeFileSync(join(values.keep, `${seed}-${index}.${archive.format.split(' ')[0]}`), archive.bytes);
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

process.exitCode = await main();
