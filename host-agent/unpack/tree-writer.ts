import { chmodSync, closeSync, constants, linkSync, mkdirSync, openSync, renameSync, symlinkSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { checkLinkTarget } from '../core/entry-path.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { Growth } from './growth.ts';
import { onDisk, writeWhole } from './on-disk.ts';
import type { TreeBuilder, UnpackedTree } from './tree-builder.ts';
import { TreeManifest } from './tree-manifest.ts';
import { TreeNames } from './tree-names.ts';

const FILE_SYSTEM_BLOCK_BYTES = 4096;
const CREATE_NEW = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

interface OpenFile {
  name: string;
  fd: number;
  sizeBytes: number;
  mode: number;
  crc: number;
}

/**
 * Writes a tree below a folder that is empty and known to nobody else, with system calls only (runs in the unpack thread). What it
 * has written is in `#names`, so it never asks the disk and never writes through a link. Mode bits are read-only from the first
 * moment; setuid, owner and times of the archive are dropped.
 */
export class TreeWriter implements TreeBuilder {
  readonly #entryFolder: string;
  readonly #root: string;
  readonly #limits: UnpackLimits;
  readonly #growth: Growth;
  readonly #names: TreeNames;
  readonly #manifest = new TreeManifest();
  #open: OpenFile | undefined;
  #diskBytes = FILE_SYSTEM_BLOCK_BYTES;

  /** `onGrown` is told what the tree takes on disk, each time it has grown by a few MiB. */
  constructor(entryFolder: string, limits: UnpackLimits, onGrown: (diskBytes: number) => void) {
    this.#entryFolder = entryFolder;
    this.#root = `${entryFolder}/tree`;
    this.#limits = limits;
    this.#growth = new Growth(onGrown);
    this.#names = new TreeNames(limits, (name) => this.#makeFolder(name));
    onDisk('', () => mkdirSync(this.#root, 0o755));
  }

  directory(path: readonly string[]): void {
    this.#names.folder(path);
  }

  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void {
    const name = this.#names.beginFile(path, sizeBytes);
    this.#count(sizeBytes);
    const mode = isExecutable ? 0o555 : 0o444;
    const fd = onDisk(name, () => openSync(`${this.#root}/${name}`, CREATE_NEW, mode));
    this.#open = { name, fd, sizeBytes, mode, crc: 0 };
  }

  write(bytes: Uint8Array, crc?: number): void {
    this.#names.addBytes(bytes.length);
    const file = this.#openFile();
    file.crc = crc ?? crc32(bytes, file.crc);
    writeWhole(file.name, file.fd, bytes);
  }

  endFile(): void {
    this.#names.endFile();
    const file = this.#openFile();
    closeSync(file.fd);
    this.#manifest.file(file.name, file.mode, file.sizeBytes, file.crc);
    this.#open = undefined;
  }

  /** Moves a file that is already on this disk into the tree. */
  adoptFile(path: readonly string[], file: string, sizeBytes: number, crc: number): void {
    const name = this.#names.wholeFile(path, sizeBytes);
    this.#count(sizeBytes);
    chmodSync(file, 0o444);
    onDisk(name, () => renameSync(file, `${this.#root}/${name}`));
    this.#manifest.file(name, 0o444, sizeBytes, crc);
  }

  symlink(path: readonly string[], target: string): void {
    checkLinkTarget(path, target, this.#limits);
    const name = this.#names.claim(path, 'link');
    onDisk(name, () => symlinkSync(target, `${this.#root}/${name}`));
    this.#manifest.link(name, target);
  }

  hardlink(path: readonly string[], existing: readonly string[]): void {
    const source = this.#names.file(path, existing);
    const name = this.#names.claim(path, 'file');
    onDisk(name, () => linkSync(`${this.#root}/${source}`, `${this.#root}/${name}`));
    this.#manifest.same(name, source);
  }

  /** Makes the folders read-only, children first; returns what the tree takes on disk. */
  finish(): UnpackedTree {
    for (const [name, kind] of [...this.#names.entries()].toReversed()) {
      if (kind === 'folder') chmodSync(`${this.#root}/${name}`, 0o555);
    }
    chmodSync(this.#root, 0o555);
    const manifestBytes = onDisk('', () => this.#manifest.write(this.#entryFolder));
    this.#diskBytes += Math.ceil(manifestBytes / FILE_SYSTEM_BLOCK_BYTES) * FILE_SYSTEM_BLOCK_BYTES;
    return { diskBytes: this.#diskBytes, contentBytes: this.#names.contentBytes, entryCount: this.#names.count };
  }

  /** After a failure: gives back the descriptor of a half-written file. */
  close(): void {
    if (this.#open !== undefined) closeSync(this.#open.fd);
    this.#open = undefined;
  }

  #count(sizeBytes: number): void {
    this.#diskBytes += Math.ceil(sizeBytes / FILE_SYSTEM_BLOCK_BYTES) * FILE_SYSTEM_BLOCK_BYTES;
    this.#growth.to(this.#diskBytes);
  }

  #openFile(): OpenFile {
    if (this.#open === undefined) throw new Error('no file of the archive is open');
    return this.#open;
  }

  #makeFolder(name: string): void {
    this.#diskBytes += FILE_SYSTEM_BLOCK_BYTES;
    onDisk(name, () => mkdirSync(`${this.#root}/${name}`, 0o755));
    this.#manifest.folder(name);
  }
}
