import { execFileSync } from 'node:child_process';
import { closeSync, copyFileSync, mkdirSync, openSync, readSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MIB = 1024 * 1024;
/** A package's prebuilt binary is not what "many small files" means. */
const SMALL_FILE_BYTES = 1.5 * MIB;
const LARGE_FILE_BYTES = 32 * MIB;

export const FORMATS = ['tar.gz', 'tar.zst', 'zip'] as const;
export type Format = (typeof FORMATS)[number];
/** Many small files, or few large ones. */
export const KINDS = ['many', 'few'] as const;
export type TreeKind = (typeof KINDS)[number];

export interface Tree {
  folder: string;
  kind: TreeKind;
  sizeMB: number;
  files: number;
  bytes: number;
}

/** A tree of about `sizeMB`, unpacked, cut from this checkout's own dependencies. */
export function makeTree(folder: string, kind: TreeKind, sizeMB: number): Tree {
  mkdirSync(folder, { recursive: true });
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
  const wanted = sizeMB * MIB;
  const made = kind === 'many' ? copySmall(modules, folder, wanted) : cutLarge(modules, folder, wanted);
  return { folder, kind, sizeMB, ...made };
}

function* filesBelow(folder: string): Generator<{ path: string; bytes: number }, void, undefined> {
  for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile()) yield { path, bytes: statSync(path).size };
  }
}

/** Copies the packages once more under another name when there are too few. */
function copySmall(modules: string, folder: string, wanted: number): { files: number; bytes: number } {
  let [files, bytes] = [0, 0];
  for (let copy = 0; bytes < wanted; copy++) {
    for (const file of filesBelow(modules)) {
      if (bytes >= wanted) break;
      if (file.bytes > SMALL_FILE_BYTES || bytes + file.bytes > wanted + MIB / 2) continue;
      const to = join(folder, `node_modules${copy || ''}`, file.path.slice(modules.length + 1));
      mkdirSync(dirname(to), { recursive: true });
      copyFileSync(file.path, to);
      files++;
      bytes += file.bytes;
    }
  }
  return { files, bytes };
}

/** Slices of the prebuilt binaries there, which compress like any native library. */
function cutLarge(modules: string, folder: string, wanted: number): { files: number; bytes: number } {
  let [files, bytes] = [0, 0];
  const binaries = [...filesBelow(modules)].filter((file) => file.bytes > SMALL_FILE_BYTES && isBinary(file.path));
  const buffer = Buffer.alloc(LARGE_FILE_BYTES);
  for (let copy = 0; bytes < wanted; copy++) {
    for (const { path } of binaries) {
      const fd = openSync(path, 'r');
      const length = Math.min(wanted - bytes, readSync(fd, buffer, 0, LARGE_FILE_BYTES, copy * MIB));
      closeSync(fd);
      if (length <= 0) continue;
      writeFileSync(join(folder, `library-${files}.so`), buffer.subarray(0, length));
      files++;
      bytes += length;
    }
  }
  return { files, bytes };
}

function isBinary(path: string): boolean {
  return path.endsWith('.node') || path.endsWith('/bin/node') || !/\.[a-z]+$/.test(path);
}

/** With the tools and levels that people use by default. */
export function pack({ folder }: Tree, format: Format, to: string): void {
  const entries = readdirSync(folder);
  const options = { cwd: folder, stdio: 'ignore' } as const;
  switch (format) {
    case 'tar.gz':
      return void execFileSync('tar', ['-czf', to, ...entries], options);
    case 'tar.zst':
      return void execFileSync('tar', ['-I', 'zstd -T0', '-cf', to, ...entries], options);
    case 'zip':
      return void execFileSync('zip', ['-qr', to, ...entries], options);
  }
}

/** Gives a copy of the archive another digest each round, so that none finds what an earlier one cached; what is in it stays the same. */
export function stamped(packed: Buffer, format: Format, round: number): Buffer {
  const stamp = Buffer.alloc(4);
  stamp.writeUInt32LE(round);
  switch (format) {
    case 'tar.gz':
      // the time in its header
      return Buffer.concat([packed.subarray(0, 4), stamp, packed.subarray(8)]);
    case 'tar.zst':
      // a skippable frame of four bytes
      return Buffer.concat([packed, Buffer.from('502a4d1804000000', 'hex'), stamp]);
    case 'zip':
      // a comment of four bytes
      return Buffer.concat([packed.subarray(0, -2), Buffer.from([stamp.length, 0]), stamp]);
  }
}
