import path from 'node:path';
import { BOOTSTRAP_FOLDER, type RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';

const HEAP_MIB = 512;

/** What the host-agent of this machine is told to prepare code with: the very interpreters that load it. */
export function preparerArgs(runtimes: readonly RuntimeDescription[]): string[] {
  return runtimes.flatMap((runtime) => {
    if ('missing' in runtime) return [];
    const command = preparerOf(runtime.name, runtime.command[0] ?? '');
    return command === undefined ? [] : ['--preparer', JSON.stringify(command)];
  });
}

function preparerOf(runtime: string, interpreter: string): string[] | undefined {
  const folder = path.join(BOOTSTRAP_FOLDER, runtime);
  if (runtime === 'python') return [interpreter, '-I', '-S', '-B', path.join(folder, 'prepare.py'), '{tree}'];
  if (runtime !== 'nodejs') return undefined;
  const mayRead = [`${folder}/*`, '{tree}/*'].map((each) => `--allow-fs-read=${each}`);
  const limits = ['--permission', ...mayRead, `--max-old-space-size=${HEAP_MIB}`];
  return [interpreter, ...limits, path.join(folder, 'prepare.mjs'), '{tree}'];
}
