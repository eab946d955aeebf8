import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '@warmpool/host-agent/clock.ts';
import { DEFAULT_UNPACK_LIMITS } from '@warmpool/host-agent/core/unpack-limits.ts';
import { Mounter } from '@warmpool/host-agent/mounts/mounter.ts';
import { buildMountHelper, missingForImages } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { FileChunks } from '@warmpool/host-agent/unpack/file-chunks.ts';
import { imageNameOf } from '@warmpool/host-agent/unpack/image-path.ts';
import { runUnpackJob } from '@warmpool/host-agent/unpack/unpack-job.ts';
import { machineConfig } from '@warmpool/local/config.ts';
import { packFunction } from '@warmpool/local/pack-functions.ts';
import { prepareBeside } from '@warmpool/local/prepare-beside.ts';
import { findRuntimes, type PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { distribution, machine, type Distribution } from './figures.ts';
import { LOAD_EXAMPLES, type LoadExample } from './load/examples.ts';
import { StandbyProcess } from './load/standby-process.ts';
import { timedLoad } from './load/timed-load.ts';
import { runAgainInOwnMounts } from './own-mounts.ts';

const IN_OWN_MOUNTS = '--in-own-mounts';
const LIST_TIMEOUT_MS = 10_000;
const DROP_ALL_CACHES = '3';
/** What a load finds in memory: everything, nothing, or nothing and a list of what to read ahead. */
const MEMORIES = ['full', 'empty', 'ahead'] as const;
const NAMES = LOAD_EXAMPLES.map(({ runtime, name }) => `${runtime}/${name}`);

export const AHEAD_USAGE = `usage: npm run bench -- ahead [options]   (root; empties the page cache of this machine again and again)
  --loads N          of each kind, taking turns, default 11
  --examples A,B     default nodejs/web-framework,nodejs/aws-sdk,nodejs/large-tree,python/aws-sdk
                     of ${NAMES.join(', ')}
  --json             one JSON object instead of a table`;

interface AheadBenchConfig {
  loads: number;
  examples: readonly LoadExample[];
  json: boolean;
}

/** @throws Error with a sentence for the person who started the program. */
export function readAheadConfig(argv: string[]): AheadBenchConfig {
  const { values } = parseArgs({
    args: argv.filter((word) => word !== IN_OWN_MOUNTS),
    options: {
      loads: { type: 'string', default: '11' },
      examples: {
        type: 'string',
        default: 'nodejs/web-framework,nodejs/aws-sdk,nodejs/large-tree,python/aws-sdk',
      },
      json: { type: 'boolean', default: false },
    },
  });
  const loads = Number(values.loads);
  if (!Number.isInteger(loads) || loads < 1) throw new Error('--loads: must be a whole number above 0');
  const examples = values.examples.split(',').map((wanted) => {
    const example = LOAD_EXAMPLES[NAMES.indexOf(wanted)];
    if (example === undefined) throw new Error(`--examples: unknown example ${wanted}; there is ${NAMES.join(', ')}`);
    return example;
  });
  return { loads, examples, json: values.json };
}

export interface AheadBenchResult {
  rows: {
    example: string;
    /** Of the image: what the list names. */
    listedBytes: number;
    loadMs: Record<(typeof MEMORIES)[number], Distribution>;
  }[];
  machine: ReturnType<typeof machine>;
}

/** Runs this program once more where its mounts are its own and gone with it. False where it is that, or where there can be no mounts. */
export function ranInOwnMounts(argv: readonly string[]): boolean {
  if (argv.includes(IN_OWN_MOUNTS) || missingForImages() !== undefined) return false;
  runAgainInOwnMounts({ more: [IN_OWN_MOUNTS] });
  return true;
}

/** Loads of code that is on the disk, as an erofs image with its prepared form beside it, each in a standby process of its own. */
export async function benchReadAhead({ loads, examples }: AheadBenchConfig): Promise<AheadBenchResult> {
  const missing = missingForImages();
  if (missing !== undefined) throw new Error(`reading ahead cannot be measured here: ${missing}`);
  const folder = await mkdtemp(path.join(tmpdir(), 'warmpool-bench-ahead-'));
  const mounter = new Mounter({ clock, onProblem: () => undefined }, [buildMountHelper(path.join(folder, 'helper'))]);
  try {
    const rows: AheadBenchResult['rows'] = [];
    for (const example of examples) rows.push(await measure(example, { loads, mounter, folder }));
    return { rows, machine: machine() };
  } finally {
    mounter.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  example: LoadExample,
  { loads, mounter, folder }: { loads: number; mounter: Mounter; folder: string },
): Promise<AheadBenchResult['rows'][number]> {
  const { cacheDir, hostEnv: env } = machineConfig(process.env);
  const runtimes = await findRuntimes();
  const folders = { cacheDir, storeDir: path.join(folder, 'store') };
  const { function: fn, key, digest, format } = await packFunction(example.folder, folders, { runtimes, env });
  const runtime = runtimes.find(({ name }) => name === example.runtime) as PresentRuntime;
  const entry = path.join(folder, digest);
  const imageName = imageNameOf(digest);
  const image = path.join(entry, imageName);
  const tree = path.join(entry, 'tree');
  const list = path.join(entry, 'read-ahead');
  const job = { folder: entry, format, fileName: '', digest, limits: DEFAULT_UNPACK_LIMITS, imageName };
  await runUnpackJob(job, new FileChunks(path.join(folders.storeDir, key)));
  if (!existsSync(image)) throw new Error(`${example.runtime}/${example.name} is too small for an image`);
  await mounter.mountImage(entry, imageName, tree);
  const nothing = (): Promise<void> => Promise.resolve();
  const load = async (before = nothing, beside = nothing): Promise<number> => {
    const standby = await StandbyProcess.start(runtime, { settings: {}, limit: undefined, env });
    try {
      await before();
      await standby.quiet();
      await beside();
      return (await timedLoad(standby, fn, tree, () => 0)).loadMs;
    } finally {
      await standby.end();
    }
  };
  const empty = async (): Promise<void> => {
    await mounter.forget(tree);
    execFileSync('sync');
    writeFileSync('/proc/sys/vm/drop_caches', DROP_ALL_CACHES);
  };
  try {
    await prepareBeside(tree, runtime);
    await empty();
    await load();
    await mounter.listReads(image, tree, list);
    for (const until = Date.now() + LIST_TIMEOUT_MS; !existsSync(list); await sleep(20))
      if (Date.now() > until) throw new Error(`no list within ${LIST_TIMEOUT_MS} ms`);
    const samples = { full: [] as number[], empty: [] as number[], ahead: [] as number[] };
    for (let index = 0; index < loads; index++) {
      await load();
      samples.full.push(await load());
      samples.empty.push(await load(empty));
      samples.ahead.push(await load(empty, () => mounter.readAhead(image, list)));
    }
    return {
      example: `${example.runtime}/${example.name}`,
      listedBytes: bytesOf(readFileSync(list, 'utf8')),
      loadMs: {
        full: distribution(samples.full),
        empty: distribution(samples.empty),
        ahead: distribution(samples.ahead),
      },
    };
  } finally {
    await mounter.unmount(tree);
  }
}

function bytesOf(list: string): number {
  const lines = list.trimEnd().split('\n');
  return lines.reduce((sum, line) => {
    const [from = 0, end = 0] = line.split(' ').map(Number);
    return sum + end - from;
  }, 0);
}

export function aheadTable({ rows, machine: { cpu, cores, kernel, node } }: AheadBenchResult): string {
  const line = (cells: (string | number)[]): string => cells.map((cell) => String(cell).padEnd(22)).join('');
  return [
    'load, p50, ms; what memory has of code and interpreter',
    line(['', ...MEMORIES, 'MB ahead']),
    ...rows.map(({ example, listedBytes, loadMs }) =>
      line([example, ...MEMORIES.map((memory) => loadMs[memory].p50), (listedBytes / 1e6).toFixed(1)]),
    ),
    `${cpu}, ${cores} cores, kernel ${kernel}, Node ${node}`,
  ].join('\n');
}
