import path from 'node:path';
import { BOOTSTRAP_FOLDER, type RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';

const HEAP_MIB = 512;

/** What the host-agent of this machine is told to prepare code with: the very interpreters that load it. */
export function preparerArgs(runtimes: readonly RuntimeDescription[]): string[] {
  return runtimes.flatMap((runtime) => {
    const command = preparerOf(runtime);
    return command === undefined ? [] : ['--preparer', JSON.stringify(command)];
  });
}

export function preparerOf(runtime: RuntimeDescription): readonly [string, ...string[]] | undefined {
  const interpreter = 'missing' in runtime ? undefined : runtime.command[0];
  if (interpreter === undefined) return undefined;
  const folder = path.join(BOOTSTRAP_FOLDER, runtime.name);
  if (runtime.name === 'python') return [interpreter, '-I', '-S', '-B', path.join(folder, 'prepare.py'), '{tree}'];
  if (runtime.name !== 'nodejs') return undefined;
  const mayRead = [`${folder}/*`, '{tree}/*'].map((each) => `--allow-fs-read=${each}`);
  const limits = ['--permission', ...mayRead, `--max-old-space-size=${HEAP_MIB}`];
  return [interpreter, ...limits, path.join(folder, 'prepare.mjs'), '{tree}'];
}
