import { availableParallelism } from 'node:os';
import type { ColdStarter } from '@warmpool/local/cold-start/cold-start.ts';
import type { FunctionFile } from '@warmpool/local/packing/function-file.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { distribution } from '../figures.ts';
import { openCpuLimit, type CpuLimit } from './cpu-limit.ts';
import { StandbyProcess } from './standby-process.ts';
import { timedLoad, type LoadSample } from './timed-load.ts';

const BATCH = 8;
/** Not counted: they compile what measures. */
const WARM_UP_LOADS = 2;
const FRESH_STARTS = 10;
const BOOTS = 3;
/** Fresh starts at a tenth of a processor can take half a minute each. */
const ENOUGH_FRESH_MS = 20_000;
const FEW_FRESH = 3;
/** From here on a row's loads are measured a few at a time where their limits leave most of the machine free. */
const LONG_LOAD_MS = 250;

export interface RowSubject {
  runtime: PresentRuntime;
  fn: FunctionFile;
  treeDir: string;
  /** The standby process gets a copy of the tree of its own, where a pod has it. */
  isAtHome: boolean;
  settings: Record<string, string>;
  milliCpu: number | undefined;
  cold: ColdStarter;
  env: Readonly<Record<string, string | undefined>>;
}

export interface RowFigures {
  loads: number;
  /** From sending `/v1/load` to the end of its answer. */
  loadToReadyMs: { p50: number; p99: number };
  /** The part of it that the function's own modules take, as the runtime tells it. */
  importMs: { p50: number; p99: number };
  /** From there to the end of the first answer of the served port, connection included; median. */
  firstResponseMs: number;
  /** A plain interpreter with the code on disk and no agent, from its start to the end of its first answer; median. */
  freshMs: number;
  /** freshMs over load and first response together. */
  ratio: number;
  /** Start of the process to standby under the same limit; median. */
  bootMs: number;
  /** Processor time of the pod; medians. Null where no control group can be made. */
  cpuMs: { load: number | null; firstResponse: number | null };
  /** How many were under way at a time. */
  atOnce: number;
}

/** Loads of one kind in standby processes of their own, taking turns with fresh starts of the same function. */
export async function measureRow(subject: RowSubject, loads: number): Promise<RowFigures> {
  const samples: LoadSample[] = [];
  const freshMs: number[] = [];
  const bootMs: number[] = [];
  let freshTotalMs = 0;
  let atOnce = 1;
  while (samples.length < loads + WARM_UP_LOADS) {
    const size = Math.min(BATCH, loads + WARM_UP_LOADS - samples.length);
    const batch = await Promise.all(Array.from({ length: size }, () => boot(subject)));
    try {
      await Promise.all(batch.map((standby) => standby.quiet()));
      if (samples.length > 0 && medianOf(samples, 'loadMs') > LONG_LOAD_MS) atOnce = lanes(subject.milliCpu);
      const waiting = [...batch];
      const lane = async (): Promise<void> => {
        for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
          samples.push(await measureLoad(next, subject));
      };
      await Promise.all(Array.from({ length: atOnce }, lane));
    } finally {
      await Promise.all(batch.map((standby) => standby.end()));
    }
    const isFreshWanted =
      freshMs.length < FEW_FRESH || (freshMs.length < FRESH_STARTS && freshTotalMs < ENOUGH_FRESH_MS);
    if (isFreshWanted) freshTotalMs += pushed(freshMs, await freshStart(subject));
    if (bootMs.length < BOOTS) bootMs.push(await bootAlone(subject));
  }
  while (freshMs.length < FEW_FRESH) freshMs.push(await freshStart(subject));
  return figures(samples.slice(WARM_UP_LOADS), freshMs, bootMs, atOnce);
}

function boot(subject: RowSubject, limit = openCpuLimit()): Promise<StandbyProcess> {
  return StandbyProcess.start(subject.runtime, { settings: subject.settings, limit, env: subject.env });
}

async function bootAlone(subject: RowSubject): Promise<number> {
  const standby = await boot(subject, limited(subject.milliCpu));
  await standby.end();
  return standby.bootMs;
}

async function measureLoad(standby: StandbyProcess, subject: RowSubject): Promise<LoadSample> {
  const { fn, milliCpu } = subject;
  const treeDir = subject.isAtHome ? standby.bringHome(subject.treeDir) : subject.treeDir;
  const { limit } = standby;
  limit?.set(milliCpu);
  return timedLoad(standby, fn, treeDir, () => limit?.usedCpuMs() ?? Number.NaN);
}

async function freshStart({ cold, milliCpu }: RowSubject): Promise<number> {
  const limit = limited(milliCpu);
  try {
    return (await cold.start(limit?.entrance)).firstResponseMs;
  } finally {
    await limit?.remove();
  }
}

function limited(milliCpu: number | undefined): CpuLimit | undefined {
  const limit = openCpuLimit();
  limit?.set(milliCpu);
  return limit;
}

/** So that their limits take less than a third of the machine. */
function lanes(milliCpu: number | undefined): number {
  return milliCpu === undefined ? 1 : Math.max(1, Math.floor((availableParallelism() * 300) / milliCpu));
}

function figures(samples: LoadSample[], freshMs: number[], bootMs: number[], atOnce: number): RowFigures {
  const { p50, p99 } = distribution(samples.map(({ loadMs }) => loadMs));
  const imports = distribution(samples.map(({ importMs }) => importMs));
  const firstResponseMs = medianOf(samples, 'firstResponseMs');
  const fresh = distribution(freshMs).p50;
  const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
  return {
    loads: samples.length,
    loadToReadyMs: { p50, p99 },
    importMs: { p50: imports.p50, p99: imports.p99 },
    firstResponseMs,
    freshMs: fresh,
    ratio: Math.round((fresh / (p50 + firstResponseMs)) * 10) / 10,
    bootMs: distribution(bootMs).p50,
    cpuMs: {
      load: orNull(medianOf(samples, 'loadCpuMs')),
      firstResponse: orNull(medianOf(samples, 'firstResponseCpuMs')),
    },
    atOnce,
  };
}

function medianOf(samples: LoadSample[], name: keyof LoadSample): number {
  return distribution(samples.map((sample) => sample[name])).p50;
}

function pushed(list: number[], value: number): number {
  list.push(value);
  return value;
}
