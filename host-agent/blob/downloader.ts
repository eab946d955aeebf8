import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Random } from '../core/backoff.ts';
import type { LinkEstimate } from '../core/range-plan.ts';
import { firstRangeBytes, learn, UNKNOWN_LINK } from '../core/range-plan.ts';
import type { BlobStore } from './blob-store.ts';
import type { FetchBudget, FetchPriority } from './fetch-budget.ts';
import { RangedDownload } from './ranged-download.ts';

const MAX_KNOWN_LINKS = 256;

export interface Download {
  /** Unknown for a chunked answer. */
  sizeBytes?: number | undefined;
  /** In order, whole, of one version. Breaking off the iteration ends everything under way. A chunk belongs to its reader. */
  stream: AsyncIterable<Uint8Array>;
  /** The object's last bytes, ahead of their turn; they come once more at the end of the stream. */
  tail?: Promise<DownloadTail> | undefined;
  /** Ends everything under way. */
  close(): void;
  /** Some of it came from a mirror: if the bytes are wrong, the origin's may be right. To be called then. */
  readonly blame?: (() => void) | undefined;
  /** To be called when all bytes were there and their digest was right. */
  verified?(): void;
}

export interface DownloadTail {
  startByte: number;
  bytes: Uint8Array<ArrayBuffer>;
}

export interface DownloadWish {
  signal: AbortSignal;
  priority: FetchPriority;
  /** The format is read from its end. */
  wantsTail: boolean;
  originOnly?: boolean;
  /** For progress: called with the number of bytes that arrived. */
  onBytes?: (bytes: number) => void;
}

export interface DownloaderDeps {
  clock: Clock;
  random: Random;
  budget: FetchBudget;
}

/** Reads objects over as many connections as their size and the link are worth, within the node's budget. */
export class Downloader {
  readonly #deps: DownloaderDeps;
  readonly #links = new LRUCache<string, LinkEstimate>({ max: MAX_KNOWN_LINKS });

  constructor(deps: DownloaderDeps) {
    this.#deps = deps;
  }

  /** `link` names what is measured together: one store or host. Resolves as soon as the store has begun to answer. */
  async open(store: BlobStore, source: string, link: string, wish: DownloadWish): Promise<Download> {
    const estimate = this.#links.get(link) ?? UNKNOWN_LINK;
    const onMeasured = (seen: Partial<LinkEstimate>): void => {
      this.#links.set(link, learn(this.#links.get(link), seen));
    };
    const download = new RangedDownload({ ...this.#deps, store, source, onMeasured }, estimate, wish);
    await download.begin(firstRangeBytes(estimate));
    return download;
  }
}
