import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { missingForMounts } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { runAgainInOwnMounts } from '../own-mounts.ts';

const MEMORY = '/dev/shm';
const DISK_BYTES = 8 * 1024 ** 3;
const SCRIPT = `set -e
disk=$1 size=$2; shift 2
truncate -s "$size" "$disk.ext4"
mkfs.ext4 -q -F "$disk.ext4"
mkdir "$disk"
mount -o loop "$disk.ext4" "$disk"
exec "$@" --folder "$disk"`;

/** What this machine lacks for a file system of the benchmark's own, or undefined. */
function missingForDisk(): string | undefined {
  const missing = missingForMounts();
  if (missing !== undefined) return missing;
  if (spawnSync('mkfs.ext4', ['-V'], { stdio: 'ignore' }).status !== 0) return 'no mkfs.ext4';
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize < DISK_BYTES ? `no ${DISK_BYTES / 1024 ** 3} GiB in ${MEMORY}` : undefined;
}

/**
 * Runs this program once more, on an ext4 file system in memory that is its own and gone with it: what a node has, without the speed of one
 * machine's disk and without what others do to it. False when that cannot be had here, which is said.
 */
export function ranOnOwnDisk(): boolean {
  const missing = missingForDisk();
  if (missing !== undefined) {
    process.stderr.write(`without a file system of its own (${missing}): trees are written to a temporary folder\n`);
    return false;
  }
  const folder = mkdtempSync(join(MEMORY, 'warmpool-disk-'));
  try {
    const shell = ['sh', '-c', SCRIPT, 'sh', join(folder, 'disk'), String(DISK_BYTES)];
    runAgainInOwnMounts({ before: shell });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return true;
}
