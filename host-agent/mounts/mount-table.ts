import { readFile } from 'node:fs/promises';
import type { Mount } from '../core/mount-table.ts';
import { mountsWithin, parseMountTable } from '../core/mount-table.ts';
import { MountError } from './mount-error.ts';
import type { Mounter } from './mounter.ts';

/** A pass takes everything that it sees; another one is for what was mounted meanwhile. */
const MAX_PASSES = 4;

export async function readMountTable(): Promise<Mount[]> {
  return parseMountTable(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Nothing is mounted at or below the path when this returns. Any number of callers, any number of times. */
export async function unmountTree(mounter: Mounter, path: string): Promise<void> {
  let failure: unknown;
  for (let pass = 1; pass <= MAX_PASSES; pass++) {
    const mounts = mountsWithin(await readMountTable(), path);
    if (mounts.length === 0) return;
    for (const { mountPoint } of mounts) {
      await mounter.unmount(mountPoint).catch((error: unknown) => {
        const isGone = error instanceof MountError && (error.code === 'EINVAL' || error.code === 'ENOENT');
        if (!isGone) failure = error;
      });
    }
  }
  throw new Error(`something stays mounted at ${path}`, { cause: failure });
}
