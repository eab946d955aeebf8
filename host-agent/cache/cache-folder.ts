import { existsSync, renameSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, realpath, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { POD_PREPARED_FOLDER } from '@warmpool/protocol/names.ts';
import { digestOfCacheKey } from '../core/cache-key.ts';
import type { CacheEntry } from '../core/cache-index.ts';
import { hostError } from '../errors.ts';
import type { TreeImages } from '../mounts/tree-images.ts';
import { imageNameOf } from '../unpack/image-path.ts';
import { removeTree } from '../unpack/remove-tree.ts';

const sizeFileSchema = z.object({ sizeBytes: z.int().min(0) });

/**
 * The cache on disk: `sha256/<key>/tree/…` for entries, `tmp/` for what is not one yet or no longer. Whatever is below `sha256/` got
 * there complete and verified, by one rename. A tree of many files is an image beside `tree`, which is where it is mounted; the mount
 * moves with its folder. Nothing forces it to the disk: after a power cut files may be empty, which is why the
 * entries of an earlier process are compared with their manifest before they are used.
 */
export class CacheFolder {
  /** Links resolved. */
  readonly entriesPath: string;
  readonly #tmp: string;
  readonly #images: TreeImages | undefined;
  #nextTmp = 0;

  private constructor(root: string, images: TreeImages | undefined) {
    this.entriesPath = join(root, 'sha256');
    this.#tmp = join(root, 'tmp');
    this.#images = images;
  }

  /** Without `images`, every tree is a folder. */
  static async open(path: string, images?: TreeImages): Promise<CacheFolder> {
    await mkdir(path, { recursive: true, mode: 0o755 });
    const folder = new CacheFolder(await realpath(path), images);
    await folder.#clear();
    await images?.probe(folder.#tmp);
    return folder;
  }

  /** A path that does not exist yet, on the same file system as the entries. */
  newTmpPath(): string {
    return join(this.#tmp, `job-${this.#nextTmp++}`);
  }

  /** Holds `tree/` and its manifest. */
  entryPath(key: string): string {
    return join(this.entriesPath, key);
  }

  /** Links resolved: the path that a loaded module finds itself under. */
  treePath(key: string): string {
    return join(this.entriesPath, key, 'tree');
  }

  /** The key of the entry that a path found in a pod's folder leads to. */
  keyOfTree(treePath: string): string | undefined {
    const entry = dirname(treePath);
    return basename(treePath) === 'tree' && dirname(entry) === this.entriesPath ? basename(entry) : undefined;
  }

  /** What an image of the entry is called; undefined where no image can be mounted. */
  imageName(key: string): string | undefined {
    return this.#images === undefined || this.#images.missing !== undefined ? undefined : imageNameOf(key);
  }

  /** A tree that is an image can be read from now on. */
  async expose(entryFolder: string, key: string): Promise<void> {
    if (existsSync(join(entryFolder, imageNameOf(key)))) await this.#images?.mount(entryFolder, key);
  }

  /** Writes down what a restart needs to know about the entry. */
  async seal(tmpPath: string, sizeBytes: number): Promise<void> {
    try {
      await writeFile(join(tmpPath, 'size.json'), JSON.stringify({ sizeBytes }), { mode: 0o444 });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw code === 'ENOSPC' || code === 'EDQUOT' ? hostError.cacheFull('the disk has no space left', error) : error;
    }
  }

  /** Synchronous, as is the rename of `evict`: whoever looks at the index and then publishes or evicts cannot be overtaken. */
  publish(tmpPath: string, key: string): void {
    renameSync(tmpPath, join(this.entriesPath, key));
  }

  /** Out of sight at once; the returned promise is for the bytes. */
  evict(key: string): Promise<void> {
    const tmpPath = this.newTmpPath();
    renameSync(join(this.entriesPath, key), tmpPath);
    return this.discard(tmpPath);
  }

  async discard(tmpPath: string): Promise<void> {
    await this.#images?.unmount(tmpPath);
    await removeTree(tmpPath);
  }

  /** Survives a restart as the folder's time; nothing waits for it. */
  async touch({ key, lastUsedUnixMs }: CacheEntry): Promise<void> {
    await utimes(join(this.entriesPath, key), lastUsedUnixMs / 1000, lastUsedUnixMs / 1000);
  }

  /** Every entry on disk, least recently used first. A folder that is not a whole entry is removed. */
  async list(): Promise<CacheEntry[]> {
    const found: CacheEntry[] = [];
    for (const key of await readdir(this.entriesPath)) {
      const entry = await this.#read(key);
      if (entry === undefined) await removeTree(join(this.entriesPath, key));
      else found.push(entry);
    }
    return found.sort((a, b) => a.lastUsedUnixMs - b.lastUsedUnixMs);
  }

  async #read(key: string): Promise<CacheEntry | undefined> {
    const digest = digestOfCacheKey(key);
    if (digest === undefined) return undefined;
    try {
      const text = await readFile(join(this.entriesPath, key, 'size.json'), 'utf8');
      const { sizeBytes } = sizeFileSchema.parse(JSON.parse(text));
      const { mtimeMs } = await stat(join(this.entriesPath, key));
      await stat(this.treePath(key));
      if (this.imageName(key) === undefined && existsSync(join(this.entriesPath, key, imageNameOf(key))))
        return undefined;
      // not in the manifest, and soon made again
      await removeTree(join(this.entriesPath, key, POD_PREPARED_FOLDER));
      return { key, digest, sizeBytes, lastUsedUnixMs: Math.round(mtimeMs), isVerified: false };
    } catch {
      return undefined;
    }
  }

  /** Removes what a process that was killed left in `tmp`. */
  async #clear(): Promise<void> {
    await this.#images?.unmount(this.entriesPath);
    await this.discard(this.#tmp);
    await mkdir(this.#tmp, { mode: 0o700 });
    await mkdir(this.entriesPath, { recursive: true, mode: 0o755 });
    await chmod(this.entriesPath, 0o755);
  }
}
