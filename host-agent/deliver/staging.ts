import { existsSync } from 'node:fs';
import { mkdir, realpath } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { Mount } from '../core/mount-table.ts';
import { mountsAt } from '../core/mount-table.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { readMountTable, unmountTree } from '../mounts/mount-table.ts';
import { imagePathOf, keyOfImageName } from '../unpack/image-path.ts';

/**
 * The cache's entries once more, read-only. What pods get is cloned from here: a mount takes its mode from where it is cloned, and a
 * mount that is made read-only afterwards stays writable in the pods that it has already reached.
 */
export class Staging {
  readonly #mounter: Mounter;
  readonly #entriesPath: string;
  readonly #path: string;
  readonly #mount: Mount;

  private constructor(mounter: Mounter, entriesPath: string, path: string, mount: Mount) {
    this.#mounter = mounter;
    this.#entriesPath = entriesPath;
    this.#path = path;
    this.#mount = mount;
  }

  /** A mount that a killed process left here is replaced: its options may be another version's. */
  static async open(mounter: Mounter, entriesPath: string, stagingPath: string): Promise<Staging> {
    await mkdir(stagingPath, { recursive: true, mode: 0o700 });
    const path = await realpath(stagingPath);
    await unmountTree(mounter, path);
    await mounter.stage(entriesPath, path);
    const mount = mountsAt(await readMountTable(), path).at(-1);
    if (mount === undefined || !mount.options.has('ro')) {
      throw new Error(`the staging mount ${path} is not there or not read-only`);
    }
    return new Staging(mounter, entriesPath, path, mount);
  }

  /** What is in an entry, by its read-only path. */
  sourceOf(path: string): string {
    return join(this.#path, relative(this.#entriesPath, path));
  }

  /** A tree by its read-only path. An image is mounted over the entry itself, which staging does not show, and cannot be written to. */
  sourceOfTree(treePath: string): { path: string; isImage: boolean } {
    const isImage = existsSync(imagePathOf(dirname(treePath)));
    return { path: isImage ? treePath : this.sourceOf(treePath), isImage };
  }

  /** Whether the mount shows that tree, and read-only. */
  isMountOf(mount: Mount, treePath: string): boolean {
    return mount.options.has('ro') && this.treeOf(mount) === treePath;
  }

  /** The tree that a mount in a pod shows, if it is one of this cache's. */
  treeOf({ device, root, fsType, source }: Mount): string | undefined {
    const imageKey = fsType === 'erofs' && root === '/' ? keyOfImageName(source) : undefined;
    if (imageKey !== undefined) return join(this.#entriesPath, imageKey, 'tree');
    const prefix = `${this.#mount.root === '/' ? '' : this.#mount.root}/`;
    if (device !== this.#mount.device || !root.startsWith(prefix)) return undefined;
    return join(this.#entriesPath, root.slice(prefix.length));
  }

  /** Mounts in pods are clones, and stay. */
  async close(): Promise<void> {
    await unmountTree(this.#mounter, this.#path);
  }
}
