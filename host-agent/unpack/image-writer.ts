import { closeSync, mkdirSync, openSync, readSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { checkLinkTarget } from '../core/entry-path.ts';
import type { ErofsFolder, ErofsNode } from '../core/erofs-image.ts';
import { EROFS_BLOCK_BYTES, layOutErofs } from '../core/erofs-image.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { Growth } from './growth.ts';
import { ImageFile } from './image-file.ts';
import { onDisk } from './on-disk.ts';
import type { TreeBuilder, UnpackedTree } from './tree-builder.ts';
import { writeImageManifest } from './tree-manifest.ts';
import { TreeNames } from './tree-names.ts';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Writes a tree as one erofs image: the contents of its files one after the other as they come, and behind them what leads to them. The
 * disk gets one file, whatever is in the archive; so there is one to delete, too.
 */
export class ImageWriter implements TreeBuilder {
  readonly #entryFolder: string;
  readonly #limits: UnpackLimits;
  readonly #growth: Growth;
  readonly #names: TreeNames;
  readonly #image: ImageFile;
  readonly #root = emptyFolder();
  readonly #folders = new Map([['', this.#root]]);

  /** `onGrown` is told what the image takes on disk, before it has grown by a few MiB more. */
  constructor(entryFolder: string, imageName: string, limits: UnpackLimits, onGrown: (diskBytes: number) => void) {
    this.#entryFolder = entryFolder;
    this.#limits = limits;
    this.#growth = new Growth(onGrown);
    this.#names = new TreeNames(limits, (name) => this.#addFolder(name));
    this.#image = new ImageFile(join(entryFolder, imageName));
  }

  directory(path: readonly string[]): void {
    this.#names.folder(path);
  }

  beginFile(path: readonly string[], sizeBytes: number, isExecutable: boolean): void {
    const name = this.#names.beginFile(path, sizeBytes);
    const startBlock = this.#image.sizeBytes / EROFS_BLOCK_BYTES;
    this.#add(name, { kind: 'file', mode: isExecutable ? 0o555 : 0o444, sizeBytes, startBlock, nameCount: 1 });
    this.#growth.to(this.#image.sizeBytes + sizeBytes);
  }

  write(bytes: Uint8Array): void {
    this.#names.addBytes(bytes.length);
    this.#image.append(bytes);
  }

  endFile(): void {
    this.#names.endFile();
    this.#image.pad();
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
    const [folder, own] = this.#place(this.#names.file(path, existing));
    const file = folder?.children.get(own);
    if (file?.kind !== 'file') return;
    this.#add(this.#names.claim(path, 'file'), file);
    file.nameCount += 1;
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

  #addFolder(name: string): void {
    const folder = emptyFolder();
    this.#folders.set(name, folder);
    this.#add(name, folder);
  }

  #add(name: string, node: ErofsNode): void {
    const [folder, own] = this.#place(name);
    folder?.children.set(own, node);
  }

  #place(name: string): [folder: ErofsFolder | undefined, own: string] {
    const slash = name.lastIndexOf('/');
    return [this.#folders.get(name.slice(0, Math.max(0, slash))), name.slice(slash + 1)];
  }
}

function emptyFolder(): ErofsFolder {
  return { kind: 'folder', mode: 0o555, children: new Map() };
}
