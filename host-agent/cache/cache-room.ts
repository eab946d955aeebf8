import type { CacheEntry, CacheIndex } from '../core/cache-index.ts';

/** Trees that are being deleted may take this much beyond the limit before a fetch waits for them. */
const SLACK = 1.05;

export interface Reservation {
  /** Resolves when the disk has room for so many bytes of this fetch; rejects with CacheFull when it never will. */
  growTo(bytes: number): Promise<void>;
  clear(): void;
}

export interface CacheRoomDeps {
  index: CacheIndex;
  /** Takes an entry out of sight at once; the promise is for its bytes. */
  evict: (entry: CacheEntry) => Promise<void>;
}

/** Keeps what is on disk (entries, fetches under way, trees being deleted) within the limit. */
export class CacheRoom {
  readonly #deps: CacheRoomDeps;
  readonly #deletions = new Set<Promise<void>>();
  #deletingBytes = 0;
  evictedCount = 0;
  evictedBytes = 0;

  constructor(deps: CacheRoomDeps) {
    this.#deps = deps;
  }

  get deletingBytes(): number {
    return this.#deletingBytes;
  }

  reservation(): Reservation {
    const { index } = this.#deps;
    let reservedBytes = 0;
    return {
      growTo: async (bytes) => {
        const moreBytes = bytes - reservedBytes;
        if (moreBytes <= 0) return;
        this.evict(index.reserve(moreBytes));
        reservedBytes = bytes;
        await this.#untilWithinSlack();
      },
      clear: () => {
        index.giveBack(reservedBytes);
        reservedBytes = 0;
      },
    };
  }

  evict(entries: readonly CacheEntry[]): void {
    for (const entry of entries) {
      this.evictedCount++;
      this.evictedBytes += entry.sizeBytes;
      this.#deletingBytes += entry.sizeBytes;
      const deletion = this.#deps.evict(entry).finally(() => {
        this.#deletingBytes -= entry.sizeBytes;
        this.#deletions.delete(deletion);
      });
      this.#deletions.add(deletion);
    }
  }

  async #untilWithinSlack(): Promise<void> {
    const { index } = this.#deps;
    while (
      this.#deletions.size > 0 &&
      index.usedBytes + index.reservedBytes + this.#deletingBytes > index.limitBytes * SLACK
    ) {
      await Promise.race(this.#deletions);
    }
  }
}
