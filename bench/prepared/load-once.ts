import type { FunctionFile } from '@warmpool/local/packing/function-file.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StandbyProcess } from '../load/standby-process.ts';
import { timedLoad } from '../load/timed-load.ts';

export interface LoadSample {
  importMs: number;
  loadMs: number;
  firstResponseMs: number;
  /** Of the main threads, for both. */
  cpuMs: number;
}

/** One load of the tree, and its first answer, in a standby process of its own. */
export async function loadOnce(fn: FunctionFile, runtime: PresentRuntime, treeDir: string): Promise<LoadSample> {
  const standby = await StandbyProcess.start(runtime, { settings: {}, limit: undefined, env: process.env });
  try {
    await standby.quiet();
    const sample = await timedLoad(standby, fn, treeDir, () => standby.mainThreadsCpuMs());
    const { importMs, loadMs, firstResponseMs } = sample;
    return { importMs, loadMs, firstResponseMs, cpuMs: sample.loadCpuMs + sample.firstResponseCpuMs };
  } finally {
    await standby.end();
  }
}
