import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { crc32 } from 'node:zlib';
import { checkLinkTarget } from '../core/entry-path.ts';
import type { TreeSink } from '../core/tree-sink.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';
import { TreeManifest } from './tree-manifest.ts';

const FILE_SYSTEM_BLOCK_BYTES = 4096;
const GROWTH_STEP_BYTES = 2 * 1024 * 1024;
const CREATE_NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

interface OpenFile {
  name: string;
  fd: number;
  leftBytes: number;
  sizeBytes: number;
  mode: number;
  crc: number;
}

/**
 * Writes a tree below a folder that is empty and known to nobody else, with system calls only (runs in the unpack thread). What it
 * has written is in `#kinds`, so it never asks the disk and never writes through a link. Mode bits are read-only from the first
 * moment; setuid, owner and times of the archive are dropped.
 */
export class TreeWriter implements TreeSink {
  readonly #root: string;
  readonly #limits: UnpackLimits;
  readonly #kinds = new Map<string, 'folder' | 'file' | 'link'>();
  readonly #manifest = new TreeManifest();
  /** The folder of the last entry, which is there. */
  #lastParent = '';
  #open: OpenFile | undefined;
  #contentBytes = 0;
  #diskBytes = FILE_SYSTEM_BLOCK_BYTES;
  #toldBytes = 0;
  readonly #onGrown: (diskBytes: number) => void;

  /** `onGrown` is told what the tree takes on disk, each time it has grown by a few MiB. */
  constructor(root: string, limits: UnpackLimits, onGrown: (diskBytes: number) => void) {
    this.#root = root;
    this.#limits = limits;
    this.#onGrown = onGrown;
    onDisk('', () => mkdirSync(root, 0o755));
  }

  directory(path: readonly string[]): void {
    this.#ensureFolder(path);
  }

  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void {
    const name = this.#claimName(path, 'file');
    this.#count(name, sizeBytes);
    const mode = isExecutable ? 0o555 : 0o444;
    const fd = onDisk(name, () => openSync(`${this.#root}/${name}`, CREATE_NEW, mode));
    this.#open = { name, fd, leftBytes: sizeBytes, sizeBytes, mode, crc: 0 };
  }

  write(bytes: Uint8Array, crc?: number): void {
    const file = this.#openFile();
    file.leftBytes -= bytes.length;
    if (file.leftBytes < 0) throw hostError.badEntry(file.name, 'is larger than its header says');
    file.crc = crc ?? crc32(bytes, file.crc);
    for (let written = 0; written < bytes.length;) {
      written += onDisk(file.name, () => writeSync(file.fd, bytes, written));
    }
  }

  endFile(): void {
    const file = this.#openFile();
    if (file.leftBytes !== 0) throw hostError.badEntry(file.name, 'is smaller than its header says');
    closeSync(file.fd);
    this.#manifest.file(file.name, file.mode, file.sizeBytes, file.crc);
    this.#open = undefined;
  }

  /** Moves a file that is already on this disk into the tree. */
  adoptFile(path: readonly string[], file: string, sizeBytes: number, crc: number): void {
    const name = this.#claimName(path, 'file');
    this.#count(name, sizeBytes);
    chmodSync(file, 0o444);
    onDisk(name, () => renameSync(file, `${this.#root}/${name}`));
    this.#manifest.file(name, 0o444, sizeBytes, crc);
  }

  symlink(path: readonly string[], target: string): void {
    checkLinkTarget(path, target, this.#limits);
    const name = this.#claimName(path, 'link');
    onDisk(name, () => symlinkSync(target, `${this.#root}/${name}`));
    this.#manifest.link(name, target);
  }

  /** Files are read-only, so two names for one file are as good as two files. */
  hardlink(path: readonly string[], existing: readonly string[]): void {
    const source = existing.join('/');
    if (this.#kinds.get(source) !== 'file') {
      throw hostError.badEntry(
        path.join('/'),
        `is a hard link to ${JSON.stringify(source)}, which is no file before it`,
      );
    }
    const name = this.#claimName(path, 'file');
    onDisk(name, () => linkSync(`${this.#root}/${source}`, `${this.#root}/${name}`));
    this.#manifest.same(name, source);
  }

  /** Makes the folders read-only, children first; returns what the tree takes on disk. */
  finish(manifestPath: string): { diskBytes: number; contentBytes: number; entryCount: number } {
    for (const [name, kind] of [...this.#kinds].toReversed()) {
      if (kind === 'folder') chmodSync(`${this.#root}/${name}`, 0o555);
    }
    chmodSync(this.#root, 0o555);
    const manifestBytes = onDisk('', () => this.#manifest.write(manifestPath));
    this.#diskBytes += Math.ceil(manifestBytes / FILE_SYSTEM_BLOCK_BYTES) * FILE_SYSTEM_BLOCK_BYTES;
    return { diskBytes: this.#diskBytes, contentBytes: this.#contentBytes, entryCount: this.#kinds.size };
  }

  /** After a failure: gives back the descriptor of a half-written file. */
  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #count(name: string, sizeBytes: number): void {
    this.#contentBytes += sizeBytes;
    if (this.#contentBytes > this.#limits.maxUnpackedBytes) {
      throw hostError.archiveTooLarge(
        `unpacks to more than ${this.#limits.maxUnpackedBytes} bytes (at entry ${JSON.stringify(name)})`,
      );
    }
    this.#diskBytes += Math.ceil(sizeBytes / FILE_SYSTEM_BLOCK_BYTES) * FILE_SYSTEM_BLOCK_BYTES;
    if (this.#diskBytes - this.#toldBytes < GROWTH_STEP_BYTES) return;
    this.#toldBytes = this.#diskBytes;
    this.#onGrown(this.#diskBytes);
  }

  #openFile(): OpenFile {
    if (this.#open === undefined) throw new Error('no file of the archive is open');
    return this.#open;
  }

  #claimName(path: readonly string[], kind: 'file' | 'link'): string {
    const name = path.join('/');
    const parent = name.slice(0, Math.max(0, name.lastIndexOf('/')));
    // archives list a folder's files one after the other
    if (parent !== this.#lastParent) this.#ensureFolder(path.slice(0, -1));
    this.#lastParent = parent;
    if (this.#kinds.has(name)) throw hostError.badEntry(name, 'is in the archive twice');
    this.#register(name, kind);
    return name;
  }

  #ensureFolder(path: readonly string[]): void {
    const name = path.join('/');
    if (name === '') return;
    const kind = this.#kinds.get(name);
    if (kind === 'folder') return;
    if (kind !== undefined) throw hostError.badEntry(name, `is a ${kind} and a folder at once`);
    this.#ensureFolder(path.slice(0, -1));
    this.#register(name, 'folder');
    this.#diskBytes += FILE_SYSTEM_BLOCK_BYTES;
    onDisk(name, () => mkdirSync(`${this.#root}/${name}`, 0o755));
    this.#manifest.folder(name);
  }

  /** Folders that are only implied count too: they cost an inode like any other entry. */
  #register(name: string, kind: 'folder' | 'file' | 'link'): void {
    if (this.#kinds.size >= this.#limits.maxEntries) {
      throw hostError.archiveTooLarge(`has more than ${this.#limits.maxEntries} entries (at ${JSON.stringify(name)})`);
    }
    this.#kinds.set(name, kind);
  }
}

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
