import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import type { PreparerRun } from './prepared-form.ts';
import { gather, parseForm } from './prepared-form.ts';

/**
 * One run of a program of this machine on one tree. The process is nobody's: no environment, no place to write but its output, the lowest
 * priority; and as the user `uid`, where this program may choose.
 */
export function runPreparer(
  [program, ...words]: readonly [string, ...string[]],
  treePath: string,
  uid?: number,
): PreparerRun {
  const args = words.map((word) => word.replaceAll('{tree}', () => treePath));
  const child = spawn(program, args, {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  if (child.pid !== undefined) lowerPriority(child.pid);
  const end = (): void => void child.kill('SIGKILL');
  return {
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    end,
    form: gather(child.stdout, endOf(child), end).then(parseForm),
  };
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      code === 0
        ? resolve()
        : reject(new Error(`the preparer ${child.spawnfile} ended with ${signal ?? `code ${code}`}`)),
    );
  });
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // it has ended already
  }
}
