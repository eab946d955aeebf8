import { unexpected } from '@warmpool/local/invoke.ts';
import type { FunctionFile } from '@warmpool/local/packing/function-file.ts';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StandbyProcess } from '../load/standby-process.ts';

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
    const cpuBefore = standby.mainThreadsCpuMs();
    const startedMs = performance.now();
    const reply = await standby.load(fn, treeDir);
    const loadedMs = performance.now();
    const answer = await standby.firstRequest(fn);
    const answeredMs = performance.now();
    const cpuMs = standby.mainThreadsCpuMs() - cpuBefore;
    const problem = unexpected(answer, fn.invoke.expect);
    if (problem !== undefined) throw new Error(`${fn.name}: ${problem}`);
    const { timings } = loadReplySchema.parse(JSON.parse(reply.text));
    return { importMs: timings.importMs, loadMs: loadedMs - startedMs, firstResponseMs: answeredMs - loadedMs, cpuMs };
  } finally {
    await standby.end();
  }
}
