import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { LocalError } from '../errors.ts';

/** Installed for another machine, written by an interpreter, or about the claim instead of the code. */
const LEFT_OUT = new Set(['node_modules', '.bin', '.package-lock.json', '__pycache__', 'function.yaml', '.DS_Store']);

/** Paths of all files below `folder`, relative, with `/`, in one order on every machine. */
export async function listFiles(folder: string, leftOut: ReadonlySet<string> = LEFT_OUT): Promise<string[]> {
  const files: string[] = [];
  const visit = async (relative: string): Promise<void> => {
    for (const entry of await readdir(path.join(folder, relative), { withFileTypes: true })) {
      if (leftOut.has(entry.name)) continue;
      const name = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) await visit(name);
      else if (entry.isFile()) files.push(name);
      else {
        const message = `${path.join(folder, name)} is a link or a special file; code archives hold files and folders only.`;
        throw new LocalError('FunctionLinkUnsupported', message);
      }
    }
  };
  await visit('');
  return files.sort((a, b) => (a < b ? -1 : 1));
}

/** Changes when a file is added, removed, renamed or edited, or when `salt` does. */
export async function hashFiles(folder: string, files: readonly string[], salt: readonly string[]): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(salt));
  for (const file of files) {
    const content = await readFile(path.join(folder, file));
    hash.update(`\n${file}\n${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}
