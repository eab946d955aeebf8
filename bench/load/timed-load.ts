import { unexpected } from '@warmpool/local/invoke.ts';
import type { FunctionFile } from '@warmpool/local/packing/function-file.ts';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { StandbyProcess } from './standby-process.ts';

export interface LoadSample {
  loadMs: number;
  importMs: number;
  firstResponseMs: number;
  loadCpuMs: number;
  firstResponseCpuMs: number;
}

/** One load of the tree and its first answer. `usedCpuMs`: what the process has used so far, by whichever clock. */
export async function timedLoad(
  standby: StandbyProcess,
  fn: FunctionFile,
  treeDir: string,
  usedCpuMs: () => number,
): Promise<LoadSample> {
  const cpuBefore = usedCpuMs();
  const startedMs = performance.now();
  const reply = await standby.load(fn, treeDir);
  const readyMs = performance.now();
  const cpuReady = usedCpuMs();
  const requestedMs = performance.now();
  const answer = await standby.firstRequest(fn);
  const answeredMs = performance.now();
  const cpuAnswered = usedCpuMs();
  const problem = unexpected(answer, fn.invoke.expect);
  if (problem !== undefined) throw new Error(`${fn.name}: ${problem}`);
  const { timings } = loadReplySchema.parse(JSON.parse(reply.text));
  return {
    loadMs: readyMs - startedMs,
    importMs: timings.importMs,
    firstResponseMs: answeredMs - requestedMs,
    loadCpuMs: cpuReady - cpuBefore,
    firstResponseCpuMs: cpuAnswered - cpuReady,
  };
}
