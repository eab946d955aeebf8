import path from 'node:path';
import { mkdtemp } from 'node:fs/promises';
import { coldStarter } from '@warmpool/local/cold-start/cold-start.ts';
import { packFunction, type PackedFunction } from '@warmpool/local/pack-functions.ts';
import { ToolError } from '@warmpool/local/packing/run-tool.ts';
import { findRuntimes, type PresentRuntime, type RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { machine, round } from '../figures.ts';
import { CPU_LIMITS, type CpuName, type LoadBenchConfig } from './config.ts';
import { openCpuLimit } from './cpu-limit.ts';
import { LOAD_EXAMPLES, type LoadExample, type RuntimeName } from './examples.ts';
import { measureRow, type RowFigures } from './measure-row.ts';
import { LOAD_MODES, removeTree, type LoadMode } from './modes.ts';
import { StandbyProcess, type Memory } from './standby-process.ts';

/** How many standby processes of one runtime share a machine while their memory is read. */
const ALIKE = 8;

export interface LoadRow extends RowFigures {
  runtime: RuntimeName;
  example: string;
  cpu: CpuName;
  mode: string;
}

export interface LoadBenchResult {
  rows: LoadRow[];
  /** Of one standby process with seven more like it beside it, all of its processes together. */
  standbyMemoryMiB: Partial<Record<RuntimeName, { pss: number; rss: number }>>;
  /** What could not be measured here, and why. */
  skipped: string[];
  machine: ReturnType<typeof machine>;
}

/** What is left of a claim when platform and network are taken away: the runtime's own load, next to a fresh interpreter. */
export async function benchLoads(config: LoadBenchConfig): Promise<LoadBenchResult> {
  const result: LoadBenchResult = { rows: [], standbyMemoryMiB: {}, skipped: [], machine: machine() };
  const runtimes = await findRuntimes();
  const skip = (words: string): void => {
    result.skipped.push(words);
    process.stderr.write(`not measured: ${words}\n`);
  };
  const cpus = await possibleLimits(config.cpu, skip);
  for (const name of config.runtime) {
    const runtime = presentRuntime(runtimes, name);
    if ('missing' in runtime) skip(`${name}: ${runtime.missing}`);
    else result.standbyMemoryMiB[name] = await standbyMemory(runtime, config.hostEnv);
  }
  for (const example of LOAD_EXAMPLES) {
    if (!config.runtime.includes(example.runtime) || !config.example.includes(example.name)) continue;
    const runtime = presentRuntime(runtimes, example.runtime);
    if ('missing' in runtime) continue;
    const fn = await packed(example, runtimes, config, skip);
    if (fn !== undefined) result.rows.push(...(await rowsOf(example, { runtime, fn, cpus }, config)));
  }
  return result;
}

interface Subject {
  runtime: PresentRuntime;
  fn: PackedFunction;
  cpus: CpuName[];
}

async function rowsOf(
  example: LoadExample,
  { runtime, fn, cpus }: Subject,
  config: LoadBenchConfig,
): Promise<LoadRow[]> {
  const env = config.hostEnv;
  const rows: LoadRow[] = [];
  const cold = await coldStarter(fn, runtime, env);
  try {
    for (const mode of LOAD_MODES) {
      if (!config.mode.includes(mode.name) || !mode.appliesTo(example)) continue;
      const tree = await preparedTree(mode, fn.treeDir, config.tmpDir);
      const settings = mode.settings?.(example, fn.treeDir) ?? {};
      try {
        for (const cpu of cpus) {
          const isAtHome = mode.isAtHome?.(example) ?? false;
          const subject = { runtime, fn: fn.function, treeDir: tree.folder, isAtHome, settings, cold, env };
          const figures = await measureRow({ ...subject, milliCpu: CPU_LIMITS[cpu] }, config.loads);
          rows.push({ runtime: example.runtime, example: example.name, cpu, mode: mode.name, ...figures });
          process.stderr.write(`${rowText(rows.at(-1))}\n`);
        }
      } finally {
        await tree.dispose();
      }
    }
    return rows;
  } finally {
    await cold.dispose();
  }
}

async function preparedTree(
  mode: LoadMode,
  treeDir: string,
  tmpDir: string,
): Promise<{ folder: string; dispose: () => Promise<void> }> {
  if (mode.prepareTree === undefined) return { folder: treeDir, dispose: () => Promise.resolve() };
  const parent = await mkdtemp(path.join(tmpDir, 'warmpool-tree-'));
  const folder = path.join(parent, 'code');
  await mode.prepareTree(treeDir, folder);
  return { folder, dispose: () => removeTree(parent) };
}

async function packed(
  example: LoadExample,
  runtimes: RuntimeDescription[],
  config: LoadBenchConfig,
  skip: (words: string) => void,
): Promise<PackedFunction | undefined> {
  const folders = { cacheDir: config.cacheDir, storeDir: path.join(config.cacheDir, 'store') };
  try {
    return await packFunction(example.folder, folders, { runtimes, env: config.hostEnv });
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    skip(`${example.runtime} ${example.name}: ${error.message}`);
    return undefined;
  }
}

async function possibleLimits(cpus: CpuName[], skip: (words: string) => void): Promise<CpuName[]> {
  const limit = openCpuLimit();
  await limit?.remove();
  if (limit !== undefined) return cpus;
  const impossible = cpus.filter((cpu) => CPU_LIMITS[cpu] !== undefined);
  if (impossible.length > 0)
    skip(`${impossible.join(', ')}: control groups for the processor cannot be made here (it needs root)`);
  return cpus.filter((cpu) => CPU_LIMITS[cpu] === undefined);
}

async function standbyMemory(
  runtime: PresentRuntime,
  env: LoadBenchConfig['hostEnv'],
): Promise<{ pss: number; rss: number }> {
  const alike = await Promise.all(
    Array.from({ length: ALIKE }, () => StandbyProcess.start(runtime, { settings: {}, limit: openCpuLimit(), env })),
  );
  try {
    await Promise.all(alike.map((standby) => standby.quiet()));
    const all = alike.map((standby) => standby.memory());
    const mean = (field: keyof Memory): number => round(all.reduce((sum, each) => sum + each[field], 0) / all.length);
    return { pss: mean('pssMiB'), rss: mean('rssMiB') };
  } finally {
    await Promise.all(alike.map((standby) => standby.end()));
  }
}

function presentRuntime(runtimes: RuntimeDescription[], name: RuntimeName): PresentRuntime | { missing: string } {
  return runtimes.find((each) => each.name === name) ?? { missing: 'there is no such runtime' };
}

const COLUMNS = ['load p50', 'p99', 'import', 'p99', 'response', 'fresh', 'ratio', 'boot', 'load cpu', 'resp. cpu'];

function rowText(row: LoadRow | undefined): string {
  if (row === undefined) return '';
  const { loadToReadyMs, importMs, cpuMs } = row;
  const loads = [loadToReadyMs.p50, loadToReadyMs.p99, importMs.p50, importMs.p99];
  const values = [...loads, row.firstResponseMs, row.freshMs, row.ratio, row.bootMs];
  const cells = [...values, cpuMs.load, cpuMs.firstResponse].map((value) => (value?.toFixed(1) ?? '-').padStart(10));
  return `${`${row.runtime} ${row.example} ${row.mode}`.padEnd(42)}${row.cpu.padEnd(6)}${cells.join('')}`;
}

export function loadTable({ rows, standbyMemoryMiB, skipped, machine: on }: LoadBenchResult): string {
  return [
    `${'ms'.padEnd(48)}${COLUMNS.map((name) => name.padStart(10)).join('')}`,
    ...rows.map(rowText),
    ...Object.entries(standbyMemoryMiB).map(
      ([runtime, { pss, rss }]) => `standby memory, ${runtime}: ${pss} MiB PSS with ${ALIKE} alike, ${rss} MiB RSS`,
    ),
    ...skipped.map((words) => `not measured: ${words}`),
    `${on.cpu}, ${on.cores} cores, ${on.memoryGiB} GiB, kernel ${on.kernel}, Node ${on.node}`,
  ].join('\n');
}
