import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';

export type EntryKind = 'folder' | 'file' | 'link';

/** What an archive has named so far, so that a tree is never asked what is in it. Refuses names that do not go together, and too many of them. */
export class TreeNames {
  readonly #limits: UnpackLimits;
  readonly #onFolder: (name: string) => void;
  readonly #kinds = new Map<string, EntryKind>();
  /** The folder of the last entry, which is there. */
  #lastParent = '';
  #contentBytes = 0;
  #open: { name: string; leftBytes: number } | undefined;

  /** `onFolder` makes a folder, whether the archive has an entry for it or one in it; after its parent. */
  constructor(limits: UnpackLimits, onFolder: (name: string) => void) {
    this.#limits = limits;
    this.#onFolder = onFolder;
  }

  get count(): number {
    return this.#kinds.size;
  }

  get contentBytes(): number {
    return this.#contentBytes;
  }

  entries(): IterableIterator<[name: string, kind: EntryKind]> {
    return this.#kinds.entries();
  }

  claim(path: readonly string[], kind: 'file' | 'link'): string {
    const name = path.join('/');
    const parent = name.slice(0, Math.max(0, name.lastIndexOf('/')));
    // archives list a folder's files one after the other
    if (parent !== this.#lastParent) this.folder(path.slice(0, -1));
    this.#lastParent = parent;
    if (this.#kinds.has(name)) throw hostError.badEntry(name, 'is in the archive twice');
    this.#register(name, kind);
    return name;
  }

  folder(path: readonly string[]): void {
    const name = path.join('/');
    if (name === '') return;
    const kind = this.#kinds.get(name);
    if (kind === 'folder') return;
    if (kind !== undefined) throw hostError.badEntry(name, `is a ${kind} and a folder at once`);
    this.folder(path.slice(0, -1));
    this.#register(name, 'folder');
    this.#onFolder(name);
  }

  /** The name of the file that an entry is to be another name of: files are read-only, so two names for one are as good as two. */
  file(path: readonly string[], existing: readonly string[]): string {
    const source = existing.join('/');
    if (this.#kinds.get(source) === 'file') return source;
    throw hostError.badEntry(path.join('/'), `is a hard link to ${JSON.stringify(source)}, which is no file before it`);
  }

  /** A file whose bytes follow. */
  beginFile(path: readonly string[], sizeBytes: number): string {
    const name = this.wholeFile(path, sizeBytes);
    this.#open = { name, leftBytes: sizeBytes };
    return name;
  }

  /** A file whose bytes are there. */
  wholeFile(path: readonly string[], sizeBytes: number): string {
    const name = this.claim(path, 'file');
    this.#contentBytes += sizeBytes;
    if (this.#contentBytes <= this.#limits.maxUnpackedBytes) return name;
    throw hostError.archiveTooLarge(
      `unpacks to more than ${this.#limits.maxUnpackedBytes} bytes (at entry ${JSON.stringify(name)})`,
    );
  }

  addBytes(count: number): void {
    const file = this.#openFile();
    file.leftBytes -= count;
    if (file.leftBytes < 0) throw hostError.badEntry(file.name, 'is larger than its header says');
  }

  endFile(): void {
    const { name, leftBytes } = this.#openFile();
    if (leftBytes !== 0) throw hostError.badEntry(name, 'is smaller than its header says');
    this.#open = undefined;
  }

  #openFile(): { name: string; leftBytes: number } {
    if (this.#open === undefined) throw new Error('no file of the archive is open');
    return this.#open;
  }

  /** Folders that are only implied count too: they cost an inode like any other entry. */
  #register(name: string, kind: EntryKind): void {
    if (this.#kinds.size >= this.#limits.maxEntries) {
      throw hostError.archiveTooLarge(`has more than ${this.#limits.maxEntries} entries (at ${JSON.stringify(name)})`);
    }
    this.#kinds.set(name, kind);
  }
}
