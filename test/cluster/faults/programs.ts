import { rm, writeFile } from 'node:fs/promises';
import { heldBackFile } from '../node/node-program.ts';
import { processesIn } from './node-state.ts';

/** What their command lines have and no other's. */
const PROGRAMS = {
  'kube-apiserver': / --etcd-servers=/,
  kubelet: /\/kubelet\S* --config=/,
  'host-agent': /host-agent\/main\.ts/,
  operator: /operator\/main\.ts/,
} as const;
export type Program = keyof typeof PROGRAMS;

/** `kill -9`; whoever supervises it starts it again. */
export async function killProgram(nodeFolder: string, program: Program): Promise<void> {
  const found = (await processesIn(nodeFolder)).filter(({ command }) => PROGRAMS[program].test(command));
  if (found.length === 0) throw new Error(`${program} does not run on the node`);
  for (const { pid } of found) killQuietly(pid);
}

/** Killed and not started again before this is disposed of. */
export async function takeAway(nodeFolder: string, program: 'kube-apiserver' | 'kubelet'): Promise<AsyncDisposable> {
  const file = heldBackFile(nodeFolder, program);
  await writeFile(file, '');
  await killProgram(nodeFolder, program);
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

/** One that has ended by itself meanwhile is as dead as it should be. */
export function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
