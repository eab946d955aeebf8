import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { EROFS_BLOCK_BYTES } from '../core/erofs-image.ts';
import { imagePathOf } from './image-path.ts';

/** Work between two looks at what else the thread has to do. */
const SLICE_BYTES = 16 * 1024 * 1024;
const SLICE_ENTRIES = 500;

/** No name and no link target of a tree has one. */
const SEPARATOR = '\0';

/** The name of what is an image; no entry of a tree has it. */
const IMAGE = '';

export interface ImageManifest {
  sizeBytes: number;
  /** Of its first block, and of what follows it. */
  headCrc: number;
  restCrc: number;
}

/**
 * What a tree was when it was written: kind, mode, size and checksum of every entry. It finds what a disk or a power cut
 * did to a tree, not what a person with access to it wants to hide.
 */
export class TreeManifest {
  readonly #lines = new Map<string, string>();

  folder(name: string): void {
    this.#lines.set(name, 'folder');
  }

  file(name: string, mode: number, sizeBytes: number, crc: number): void {
    this.#lines.set(name, fileLine(mode, sizeBytes, crc));
  }

  same(name: string, existing: string): void {
    this.#lines.set(name, this.#lines.get(existing) ?? '');
  }

  link(name: string, target: string): void {
    this.#lines.set(name, `link ${target}`);
  }

  /** Returns the number of bytes it takes. */
  write(entryFolder: string): number {
    return writeLines(entryFolder, this.#lines);
  }
}

/** For a tree that is an image. Returns the number of bytes it takes. */
export function writeImageManifest(entryFolder: string, image: ImageManifest): number {
  return writeLines(entryFolder, new Map([[IMAGE, imageLine(image)]]));
}

/** Whether the tree beside a manifest is what the manifest says; in slices, between which `yieldTurn` lets others work. */
export async function isTreeWhole(entryFolder: string, yieldTurn: () => Promise<void>): Promise<boolean> {
  const expected = readManifest(entryFolder);
  if (expected === undefined) return false;
  const image = expected.get(IMAGE);
  return image === undefined
    ? isFolderWhole(entryFolder, expected, yieldTurn)
    : image === (await readImageLine(imagePathOf(entryFolder), yieldTurn));
}

async function readImageLine(path: string, yieldTurn: () => Promise<void>): Promise<string | undefined> {
  const slice = Buffer.allocUnsafe(SLICE_BYTES);
  const image: ImageManifest = { sizeBytes: 0, headCrc: 0, restCrc: 0 };
  try {
    const fd = openSync(path, 'r');
    try {
      image.sizeBytes = readSync(fd, slice, 0, EROFS_BLOCK_BYTES, null);
      image.headCrc = crc32(slice.subarray(0, image.sizeBytes));
      for (let read = readSync(fd, slice); read > 0; read = readSync(fd, slice)) {
        image.sizeBytes += read;
        image.restCrc = crc32(slice.subarray(0, read), image.restCrc);
        await yieldTurn();
      }
      return imageLine(image);
    } finally {
      closeSync(fd);
    }
  } catch {
    return undefined;
  }
}

async function isFolderWhole(
  entryFolder: string,
  expected: Map<string, string>,
  yieldTurn: () => Promise<void>,
): Promise<boolean> {
  const root = join(entryFolder, 'tree');
  let [bytes, entries] = [0, 0];
  try {
    for (const [name, kind] of walk(root, '')) {
      const wanted = expected.get(name);
      const path = join(root, name);
      if (wanted === undefined || !expected.delete(name)) return false;
      if (kind === 'link') {
        if (wanted !== `link ${readlinkSync(path)}`) return false;
      } else if (kind === 'folder') {
        if (wanted !== 'folder') return false;
      } else {
        const { mode, size } = lstatSync(path);
        const content = readFileSync(path);
        if (wanted !== fileLine(mode & 0o777, size, crc32(content))) return false;
        bytes += size;
      }
      if (++entries % SLICE_ENTRIES !== 0 && bytes < SLICE_BYTES) continue;
      bytes = 0;
      await yieldTurn();
    }
  } catch {
    return false;
  }
  return expected.size === 0;
}

function writeLines(entryFolder: string, lines: ReadonlyMap<string, string>): number {
  const parts: string[] = [];
  for (const [name, line] of lines) parts.push(name, line);
  const body = parts.join(SEPARATOR);
  const text = `${digestOf(body)}\n${body}`;
  writeFileSync(join(entryFolder, 'manifest'), text, { mode: 0o444, flag: 'wx' });
  return Buffer.byteLength(text);
}

function readManifest(entryFolder: string): Map<string, string> | undefined {
  try {
    const text = readFileSync(join(entryFolder, 'manifest'), 'utf8');
    const end = text.indexOf('\n');
    const body = text.slice(end + 1);
    if (text.slice(0, end) !== digestOf(body)) return undefined;
    const parts = body === '' ? [] : body.split(SEPARATOR);
    const lines = new Map<string, string>();
    for (let index = 0; index < parts.length; index += 2) lines.set(parts[index] ?? '', parts[index + 1] ?? '');
    return lines;
  } catch {
    return undefined;
  }
}

function* walk(root: string, prefix: string): Generator<[name: string, kind: 'folder' | 'file' | 'link']> {
  for (const entry of readdirSync(join(root, prefix), { withFileTypes: true })) {
    const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isSymbolicLink()) yield [name, 'link'];
    else if (!entry.isDirectory()) yield [name, 'file'];
    else {
      yield [name, 'folder'];
      yield* walk(root, name);
    }
  }
}

function fileLine(mode: number, sizeBytes: number, crc: number): string {
  return `${mode.toString(8)} ${sizeBytes} ${crc.toString(16)}`;
}

function imageLine({ sizeBytes, headCrc, restCrc }: ImageManifest): string {
  return `image ${sizeBytes} ${headCrc.toString(16)} ${restCrc.toString(16)}`;
}

function digestOf(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}
