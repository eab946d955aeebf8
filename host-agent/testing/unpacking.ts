import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CodeFormat } from '@warmpool/protocol/fields.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { DEFAULT_UNPACK_LIMITS } from '../core/unpack-limits.ts';
import { removeTree } from '../unpack/remove-tree.ts';
import type { ZipTail } from '../unpack/zip-directory.ts';
import type { UnpackedTree } from '../unpack/tree-builder.ts';
import { runUnpackJob } from '../unpack/unpack-job.ts';

export interface Unpacked {
  result?: UnpackedTree;
  error?: unknown;
  /** Path to what is there: `file:…`, `exec:…`, `link:…` or `folder`. */
  tree: Record<string, string>;
  /** What is left in the folder around the job's own: must be nothing. */
  strays: string[];
}

interface UnpackOptions {
  limits?: Partial<UnpackLimits>;
  digest?: string;
  /** The archive arrives in pieces of this size. */
  chunkBytes?: number;
  /** So many bytes of its end arrive before the rest, as those of a zip do. */
  tailBytes?: number;
  /** Where its folder is made. */
  within?: string;
}

/** Runs the unpack job in this thread, in a folder of its own that is removed again. */
export async function unpackHere(bytes: Buffer, format: CodeFormat, options: UnpackOptions = {}): Promise<Unpacked> {
  const { chunkBytes = 64 * 1024, digest = digestOf(bytes), limits = {}, tailBytes, within = tmpdir() } = options;
  const around = realpathSync(mkdtempSync(join(within, 'warmpool-unpack-')));
  const folder = join(around, 'job');
  const job = { folder, format, fileName: 'index.js', digest, limits: { ...DEFAULT_UNPACK_LIMITS, ...limits } };
  let position = 0;
  const incoming = {
    next: (): Promise<Buffer | undefined> => {
      // a copy, which belongs to the reader
      const chunk = Buffer.from(bytes.subarray(position, position + chunkBytes));
      position += chunk.length;
      return Promise.resolve(chunk.length === 0 ? undefined : chunk);
    },
    ...(tailBytes !== undefined && { tail: () => Promise.resolve(tailOf(bytes, tailBytes)) }),
  };
  const unpacked: Unpacked = { tree: {}, strays: [] };
  try {
    unpacked.result = await runUnpackJob(job, incoming);
    unpacked.tree = readTree(join(folder, 'tree'));
  } catch (error) {
    unpacked.error = error;
  }
  unpacked.strays = readdirSync(around).filter((name) => name !== 'job' || unpacked.error !== undefined);
  if (existsSync(folder))
    unpacked.strays.push(...readdirSync(folder).filter((name) => name !== 'tree' && name !== 'manifest'));
  await removeTree(around);
  return unpacked;
}

function tailOf(bytes: Buffer, tailBytes: number): ZipTail {
  const startByte = Math.max(0, bytes.length - tailBytes);
  return { startByte, bytes: bytes.subarray(startByte) };
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function readTree(root: string, prefix = ''): Record<string, string> {
  const tree: Record<string, string> = {};
  for (const name of readdirSync(root).sort()) {
    const path = join(root, name);
    const stats = lstatSync(path);
    const shown = prefix + name;
    if (stats.isSymbolicLink()) tree[shown] = `link:${readlinkSync(path)}`;
    else if (stats.isDirectory()) Object.assign(tree, { [shown]: 'folder' }, readTree(path, `${shown}/`));
    else tree[shown] = `${(stats.mode & 0o111) === 0 ? 'file' : 'exec'}:${readFileSync(path, 'latin1')}`;
  }
  return tree;
}

/** An archive that arrives in one piece, a copy, which belongs to the reader. */
export function once(bytes: Buffer): { next: () => Promise<Buffer | undefined> } {
  const chunks = [Buffer.from(bytes)];
  return { next: () => Promise.resolve(chunks.shift()) };
}
