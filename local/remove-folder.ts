import { chmod, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { isErrno } from './errors.ts';

/** Removes a folder with all in it, also where read-only folders (delivered code) forbid that to anyone but root. */
export async function removeFolder(folder: string): Promise<void> {
  const options = { recursive: true, force: true, maxRetries: 3 };
  try {
    await rm(folder, options);
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM', 'ENOTEMPTY')) throw error;
    await makeWritable(folder);
    await rm(folder, options);
  }
}

/** Folders only: a file in here may be a hard link to a file that others still read. */
async function makeWritable(folder: string): Promise<void> {
  await chmod(folder, 0o700);
  const entries = await readdir(folder, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await makeWritable(path.join(folder, entry.name));
}
