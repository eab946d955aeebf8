import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import { packTar } from 'modern-tar';
import { listFiles } from './source-files.ts';

const compressors = { 'tar.gz': promisify(gzip), 'tar.zst': promisify(zstdCompress) };
const MTIME = new Date(0);

/** The same tree gives the same bytes: sorted, without owners and times, and with two kinds of mode only. */
export async function archiveTree(folder: string, format: keyof typeof compressors): Promise<Buffer> {
  const files = await listFiles(folder, new Set());
  const folders = files.flatMap((file) => parentsOf(file));
  const entries = [...new Set(folders)].map((name) => ({
    header: { name: `${name}/`, type: 'directory' as const, mode: 0o755, mtime: MTIME, size: 0 },
  }));
  const bodies = files.map(async (name) => {
    const file = path.join(folder, name);
    const [body, { mode }] = await Promise.all([readFile(file), stat(file)]);
    const isExecutable = (mode & 0o100) !== 0;
    const header = { name, type: 'file' as const, mode: isExecutable ? 0o755 : 0o644, mtime: MTIME, size: body.length };
    return { header, body };
  });
  return compressors[format](await packTar([...entries, ...(await Promise.all(bodies))]));
}

/** `a/b/c.js` is in `a` and `a/b`. */
function parentsOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join('/'));
}
