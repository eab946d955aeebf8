import { cp, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { packFunctions } from '@warmpool/local/pack-functions.ts';
import { machineConfig } from '@warmpool/local/config.ts';
import { prepareBeside } from '@warmpool/local/prepare-beside.ts';
import { findRuntimes, type PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { distribution, machine, round, type Distribution } from '../figures.ts';
import { loadOnce, type LoadSample } from './load-once.ts';

const FUNCTIONS = fileURLToPath(new URL('../../examples/functions', import.meta.url));
const DEFAULT_FUNCTIONS = 'express-app,python-wsgi,node-hello';
const COLUMNS = ['importMs', 'loadMs', 'firstResponseMs', 'cpuMs'] as const;

export const PREPARED_USAGE = `usage: npm run bench -- prepared [options]
  --loads N          with and without, taking turns, default 30
  --functions A,B    folders of examples/functions, default ${DEFAULT_FUNCTIONS}
  --json             one JSON object instead of a table`;

interface PreparedRow {
  function: string;
  prepared: boolean;
  /** Of the prepared form. */
  bytes: number;
  importMs: Distribution;
  loadMs: Distribution;
  firstResponseMs: Distribution;
  cpuMs: Distribution;
}

interface PreparedBenchConfig {
  loads: number;
  functions: string[];
  json: boolean;
}

/** @throws Error with a sentence for the person who started the program. */
export function readPreparedConfig(argv: string[]): PreparedBenchConfig {
  const { values } = parseArgs({
    args: argv,
    options: {
      loads: { type: 'string', default: '30' },
      functions: { type: 'string', default: DEFAULT_FUNCTIONS },
      json: { type: 'boolean', default: false },
    },
  });
  const loads = Number(values.loads);
  if (!Number.isInteger(loads) || loads < 1) throw new Error('--loads: must be a whole number above 0');
  return { loads, functions: values.functions.split(','), json: values.json };
}

export interface PreparedBenchResult {
  rows: PreparedRow[];
  machine: ReturnType<typeof machine>;
}

/** Loads of the examples with and without their prepared form, each in a standby process of its own. */
export async function benchPrepared({ loads, functions }: PreparedBenchConfig): Promise<PreparedBenchResult> {
  const rows: PreparedRow[] = [];
  for (const name of functions) rows.push(...(await measure(name, loads)));
  return { rows, machine: machine() };
}

async function measure(name: string, loads: number): Promise<PreparedRow[]> {
  const { cacheDir, hostEnv } = machineConfig(process.env);
  const folder = await mkdtemp(path.join(os.tmpdir(), 'warmpool-bench-prepared-'));
  try {
    const runtimes = await findRuntimes();
    const folders = { functionsDir: FUNCTIONS, cacheDir, storeDir: folder };
    const { packed } = await packFunctions(folders, { runtimes, env: hostEnv });
    const fn = packed.find((each) => each.function.name === name);
    const runtime = runtimes.find((each) => each.name === fn?.function.runtime.name && !('missing' in each));
    if (fn === undefined || runtime === undefined) throw new Error(`the example ${name} cannot be packed here`);
    const trees = [false, true].map((isPrepared) => path.join(folder, isPrepared ? 'with' : 'without', 'tree'));
    const isSource = (file: string): boolean => path.basename(file) !== '__pycache__';
    for (const tree of trees) await cp(fn.treeDir, tree, { recursive: true, filter: isSource });
    const bytes = await prepareBeside(trees[1] ?? '', runtime);
    const samples: LoadSample[][] = [[], []];
    for (let index = 0; index < loads; index++) {
      for (const [which, tree] of trees.entries()) {
        samples[which]?.push(await loadOnce(fn.function, runtime as PresentRuntime, tree));
      }
    }
    return samples.map((each, which) => rowOf(name, which === 1, which === 1 ? bytes : 0, each));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function rowOf(name: string, prepared: boolean, bytes: number, samples: LoadSample[]): PreparedRow {
  const of = (column: (typeof COLUMNS)[number]): Distribution => distribution(samples.map((sample) => sample[column]));
  return {
    ...{ function: name, prepared, bytes, importMs: of('importMs'), loadMs: of('loadMs') },
    ...{ firstResponseMs: of('firstResponseMs'), cpuMs: of('cpuMs') },
  };
}

export function preparedTable({ rows }: PreparedBenchResult): string {
  const head = ['p50, ms'.padEnd(28), ...COLUMNS.map((column) => column.padStart(17)), 'bytes'.padStart(12)].join('');
  const lines = rows.map((row) => {
    const title = `${row.function}${row.prepared ? ', prepared' : ''}`.padEnd(28);
    return [
      title,
      ...COLUMNS.map((column) => String(round(row[column].p50)).padStart(17)),
      String(row.bytes).padStart(12),
    ].join('');
  });
  return [head, ...lines].join('\n');
}
