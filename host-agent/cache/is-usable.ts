import type { Unpacker } from '../unpack/unpacker.ts';
import type { CacheFolder } from './cache-folder.ts';

/** Whether an entry of an earlier process is what was written down about it; if so, pods can have it from now on. */
export async function isUsable(
  { folder, unpacker, onProblem }: { folder: CacheFolder; unpacker: Unpacker; onProblem: (error: unknown) => void },
  key: string,
): Promise<boolean> {
  const entryPath = folder.entryPath(key);
  if (!(await unpacker.isWhole(entryPath))) return false;
  try {
    await folder.expose(entryPath, key);
    return true;
  } catch (error) {
    onProblem(error);
    return false;
  }
}
