import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_UNPACK_LIMITS } from '../core/unpack-limits.ts';
import { imageNameOf } from '../unpack/image-path.ts';
import { ImageWriter } from '../unpack/image-writer.ts';
import { removeTree } from '../unpack/remove-tree.ts';
import { MountUncertain } from './mount-error.ts';
import { unmountTree } from './mount-table.ts';
import type { Mounter } from './mounter.ts';

const MAX_ATTEMPTS = 3;
const PROBE = 'probe';

/** Mounts the images of a cache: each once for the whole node, so that what one pod has read of it is there for the others. */
export class TreeImages {
  readonly #mounter: Mounter;
  #missing: string | undefined;

  constructor(mounter: Mounter) {
    this.#mounter = mounter;
  }

  /** Why this node cannot mount images; new trees are folders then. */
  get missing(): string | undefined {
    return this.#missing;
  }

  /** Finds out whether this kernel mounts a file without a loop device (Linux 6.12). `folder` is empty, and is afterwards. */
  async probe(folder: string): Promise<void> {
    const entryFolder = join(folder, PROBE);
    mkdirSync(entryFolder);
    try {
      const writer = new ImageWriter(entryFolder, imageNameOf(PROBE), DEFAULT_UNPACK_LIMITS, () => {});
      writer.beginFile([PROBE], PROBE.length, false);
      writer.write(Buffer.from(PROBE));
      writer.endFile();
      writer.finish();
      await this.mount(entryFolder, PROBE);
      if (readFileSync(join(entryFolder, 'tree', PROBE), 'utf8') !== PROBE) this.#missing = 'an image is read wrongly';
    } catch (error) {
      this.#missing = (error as Error).message;
    } finally {
      await this.unmount(entryFolder);
      await removeTree(entryFolder);
    }
  }

  /** `tree` in the entry's folder shows the image beside it. */
  async mount(entryFolder: string, key: string): Promise<void> {
    const tree = join(entryFolder, 'tree');
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#mounter.mountImage(entryFolder, imageNameOf(key), tree);
      } catch (error) {
        if (!(error instanceof MountUncertain) || attempt >= MAX_ATTEMPTS) throw error;
        await unmountTree(this.#mounter, tree);
      }
    }
  }

  /** Nothing is mounted at or below the path when this returns. Pods that still have an image mounted keep it. */
  unmount(path: string): Promise<void> {
    return unmountTree(this.#mounter, path);
  }
}
