import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Trees are read-only, and who is not root cannot remove from a read-only folder. Links are removed, never followed. */
export async function removeTree(path: string): Promise<void> {
  await makeFoldersWritable(path);
  await rm(path, { recursive: true, force: true });
}

async function makeFoldersWritable(path: string): Promise<void> {
  if (process.getuid?.() === 0) return;
  try {
    await chmod(path, 0o755);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      if (entry.isDirectory()) await makeFoldersWritable(join(path, entry.name));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
