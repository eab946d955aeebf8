import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { imagePathOf } from '../unpack/image-path.ts';

const LIST = 'read-ahead';
/** The first requests of a function read more of its code. */
const LIST_AFTER_MS = 2_000;
/** What was loaded just now is in memory. */
const STAYS_MS = 60_000;
const MAX_ENTRIES = 10_000;

/**
 * For code that the disk has and memory has not any more: a load reads it module by module, each one a wait for the disk. What one load has
 * read is listed beside the code, and with a later one the kernel reads all of it at once, in the order of the disk (docs/decisions/0017).
 */
export class ReadAhead {
  readonly #mounter: Pick<Mounter, 'forget' | 'listReads' | 'readAhead'>;
  /** By the names of entries' folders. */
  readonly #stages = new LRUCache<string, 'unread' | 'listed'>({ max: MAX_ENTRIES });
  readonly #inMemory: LRUCache<string, true>;

  constructor(mounter: Pick<Mounter, 'forget' | 'listReads' | 'readAhead'>, clock: Pick<Clock, 'monotonic'>) {
    this.#mounter = mounter;
    const perf = { now: () => clock.monotonic() };
    this.#inMemory = new LRUCache({ max: MAX_ENTRIES, ttl: STAYS_MS, ttlResolution: 0, perf });
  }

  /** From now on nothing reads the tree but the loads of pods. */
  async begin(entryFolder: string): Promise<void> {
    if (!existsSync(imagePathOf(entryFolder))) return;
    await this.#mounter.forget(join(entryFolder, 'tree'));
    this.#stages.set(basename(entryFolder), 'unread');
  }

  /** A pod has got an image and is about to load it. */
  onDelivered(entryFolder: string): void {
    const key = basename(entryFolder);
    const isInMemory = this.#inMemory.has(key);
    this.#inMemory.set(key, true);
    const stage = this.#stages.get(key);
    const [image, list] = [imagePathOf(entryFolder), join(entryFolder, LIST)];
    if (stage === 'listed' && !isInMemory) this.#mounter.readAhead(image, list).catch(() => {});
    if (stage !== 'unread') return;
    this.#stages.set(key, 'listed');
    const timer = setTimeout(() => {
      this.#mounter.listReads(image, join(entryFolder, 'tree'), list).catch(() => this.#stages.set(key, 'unread'));
    }, LIST_AFTER_MS);
    timer.unref();
  }
}
