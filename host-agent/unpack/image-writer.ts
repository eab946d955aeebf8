import { closeSync, mkdirSync, openSync, readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { checkLinkTarget } from '../core/entry-path.ts';
import type { ErofsFile, ErofsFolder, ErofsNode } from '../core/erofs-image.ts';
import { EROFS_BLOCK_BYTES, layOutErofs } from '../core/erofs-image.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';
import { ImageFile } from './image-file.ts';
import { onDisk } from './on-disk.ts';
import type { TreeBuilder, UnpackedTree } from './tree-builder.ts';
import { writeImageManifest } from './tree-manifest.ts';
import { TreeNames } from './tree-names.ts';

const CHUNK_BYTES = 1024 * 1024;
const GROWTH_STEP_BYTES = 2 * 1024 * 1024;

/**
 * Writes a tree as one erofs image: the contents of its files one after the other as they come, and behind them what leads to them. The
 * disk gets one file, whatever is in the archive; so there is one to delete, too.
 */
export class ImageWriter implements TreeBuilder {
  readonly #entryFolder: string;
  readonly #limits: UnpackLimits;
  readonly #onGrown: (diskBytes: number) => void;
  readonly #names: TreeNames;
  readonly #image: ImageFile;
  readonly #root = emptyFolder();
  readonly #folders = new Map([['', this.#root]]);
  readonly #files = new Map<string, ErofsFile>();
  #open: { name: string; leftBytes: number } | undefined;
  #toldBytes = 0;

  /** `onGrown` is told what the image takes on disk, before it has grown by a few MiB more. */
  constructor(entryFolder: string, imageName: string, limits: UnpackLimits, onGrown: (diskBytes: number) => void) {
    this.#entryFolder = entryFolder;
    this.#limits = limits;
    this.#onGrown = onGrown;
    this.#names = new TreeNames(limits, (name) => this.#addFolder(name));
    this.#image = new ImageFile(join(entryFolder, imageName));
  }

  directory(path: readonly string[]): void {
    this.#names.folder(path);
  }

  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void {
    const name = this.#names.claim(path, 'file');
    this.#names.addContent(name, sizeBytes);
    const startBlock = this.#image.sizeBytes / EROFS_BLOCK_BYTES;
    this.#addFile(name, { kind: 'file', mode: isExecutable ? 0o555 : 0o444, sizeBytes, startBlock, nameCount: 0 });
    this.#open = { name, leftBytes: sizeBytes };
    this.#grow(this.#image.sizeBytes + sizeBytes);
  }

  write(bytes: Uint8Array): void {
    const file = this.#openFile();
    file.leftBytes -= bytes.length;
    if (file.leftBytes < 0) throw hostError.badEntry(file.name, 'is larger than its header says');
    this.#image.append(bytes);
  }

  endFile(): void {
    const { name, leftBytes } = this.#openFile();
    if (leftBytes !== 0) throw hostError.badEntry(name, 'is smaller than its header says');
    this.#image.pad();
    this.#open = undefined;
  }

  adoptFile(path: readonly string[], file: string, sizeBytes: number): void {
    this.beginFile(path, sizeBytes, false);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const fd = openSync(file, 'r');
    try {
      for (let read = readSync(fd, chunk); read > 0; read = readSync(fd, chunk)) this.write(chunk.subarray(0, read));
    } finally {
      closeSync(fd);
    }
    this.endFile();
    unlinkSync(file);
  }

  symlink(path: readonly string[], target: string): void {
    checkLinkTarget(path, target, this.#limits);
    this.#add(this.#names.claim(path, 'link'), { kind: 'link', target });
  }

  hardlink(path: readonly string[], existing: readonly string[]): void {
    const file = this.#files.get(this.#names.file(path, existing));
    if (file !== undefined) this.#addFile(this.#names.claim(path, 'file'), file);
  }

  finish(): UnpackedTree {
    const firstBlock = this.#image.sizeBytes / EROFS_BLOCK_BYTES;
    const { head, rest } = layOutErofs(this.#root, { firstBlock, madeUnixSeconds: Math.floor(Date.now() / 1000) });
    this.#image.append(rest);
    const manifest = this.#image.finish(head);
    onDisk('', () => mkdirSync(join(this.#entryFolder, 'tree'), 0o755));
    const manifestBytes = onDisk('', () => writeImageManifest(this.#entryFolder, manifest));
    return {
      diskBytes: manifest.sizeBytes + manifestBytes,
      contentBytes: this.#names.contentBytes,
      entryCount: this.#names.count,
    };
  }

  close(): void {
    this.#image.close();
  }

  #openFile(): { name: string; leftBytes: number } {
    if (this.#open === undefined) throw new Error('no file of the archive is open');
    return this.#open;
  }

  #grow(diskBytes: number): void {
    if (diskBytes - this.#toldBytes < GROWTH_STEP_BYTES) return;
    this.#toldBytes = diskBytes;
    this.#onGrown(diskBytes);
  }

  #addFolder(name: string): void {
    const folder = emptyFolder();
    this.#folders.set(name, folder);
    this.#add(name, folder);
  }

  #addFile(name: string, file: ErofsFile): void {
    file.nameCount += 1;
    this.#files.set(name, file);
    this.#add(name, file);
  }

  #add(name: string, node: ErofsNode): void {
    const slash = name.lastIndexOf('/');
    const folder = this.#folders.get(name.slice(0, Math.max(0, slash)));
    folder?.children.set(name.slice(slash + 1), node);
  }
}

function emptyFolder(): ErofsFolder {
  return { kind: 'folder', mode: 0o555, children: new Map() };
}
