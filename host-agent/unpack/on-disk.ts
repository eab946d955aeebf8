import { writeSync } from 'node:fs';
import { hostError } from '../errors.ts';

/** A full disk is the node's fault, a name that the file system cannot hold is the archive's. */
export function onDisk<T>(name: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw hostError.cacheFull('the disk has no space left', error);
    }
    if (code === 'ENAMETOOLONG' || code === 'EINVAL' || code === 'EILSEQ') {
      throw hostError.badEntry(name, `has a name that cannot be stored (${code})`);
    }
    throw error;
  }
}

/** All of the bytes, for the entry `name`: where the file stands, or from `atByte` on. */
export function writeWhole(name: string, fd: number, bytes: Uint8Array, atByte?: number): void {
  for (let written = 0; written < bytes.length;) {
    const position = atByte === undefined ? null : atByte + written;
    written += onDisk(name, () => writeSync(fd, bytes, written, bytes.length - written, position));
  }
}
