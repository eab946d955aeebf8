import { spawnSync } from 'node:child_process';

/** Runs this program once more, with its arguments and more, where its mounts are its own and gone with it. `before`: what starts it there. */
export function runAgainInOwnMounts({ before = [], more = [] }: { before?: string[]; more?: string[] }): void {
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1), ...more];
  const command = ['--mount', '--propagation', 'private', ...before, ...again];
  process.exitCode = spawnSync('unshare', command, { stdio: 'inherit' }).status ?? 1;
}
