import PQueue from 'p-queue';
import type { CodeReference, PodUid } from '@warmpool/protocol/fields.ts';
import type { CacheReply } from '@warmpool/protocol/host-agent-api.ts';
import type { BlobSources } from '../blob/blob-sources.ts';
import type { Clock } from '../clock.ts';
import { cacheKey } from '../core/cache-key.ts';
import type { CacheEntry } from '../core/cache-index.ts';
import { CacheIndex } from '../core/cache-index.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import type { Unpacker } from '../unpack/unpacker.ts';
import type { CacheFolder } from './cache-folder.ts';

/** A transfer that broke off in its middle is begun again this often; opening has its own retries. */
const MAX_TRANSFERS = 2;

export interface CodeCacheDeps {
  folder: CacheFolder;
  sources: BlobSources;
  unpacker: Unpacker;
  clock: Clock;
  /** Told about each digest that comes and goes. */
  onCached: (digest: string) => void;
  onEvicted: (digest: string) => void;
  onFetched: (timings: FetchTimings) => void;
  /** Something in the background failed; the cache itself is still right. */
  onProblem: (error: unknown) => void;
}

export interface CodeCacheOptions {
  limitBytes: number;
  fetchConcurrency: number;
  unpackLimits: UnpackLimits;
}

export interface FetchTimings {
  fetchMs: number;
  /** From the last byte's arrival to the tree being in its place; what was unpacked while bytes arrived counts as fetching. */
  unpackMs: number;
}

export interface FetchWish {
  podUid: PodUid;
  /** Whose claim ends first is fetched first. */
  deadlineUnixMs: number;
  signal: AbortSignal;
}

/** Content-addressed trees of code: fetched once, verified, shared read-only by every pod that runs them. */
export class CodeCache {
  readonly #deps: CodeCacheDeps;
  readonly #options: CodeCacheOptions;
  readonly #index: CacheIndex;
  readonly #flights = new SingleFlight<string, FetchTimings>();
  readonly #queue: PQueue;

  private constructor(deps: CodeCacheDeps, options: CodeCacheOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#index = new CacheIndex(options.limitBytes);
    this.#queue = new PQueue({ concurrency: options.fetchConcurrency });
  }

  /** Evicts nothing yet: first the pods that outlived the last process have to say what they use ({@link adoptPin}). */
  static async open(deps: CodeCacheDeps, options: CodeCacheOptions): Promise<CodeCache> {
    const cache = new CodeCache(deps, options);
    // oldest first, so that the order of use is what it was
    for (const entry of await deps.folder.list()) cache.#index.add(entry);
    return cache;
  }

  /** The limit may have become smaller since the last process. */
  trim(): void {
    this.#removeEvicted(this.#index.shrinkTo(this.#index.limitBytes));
  }

  /** The hot path: no disk, no promise. Pins the entry for the pod when it is there. */
  take(code: CodeReference, podUid: PodUid): string | undefined {
    const key = cacheKey(code);
    if (this.#index.get(key, this.#deps.clock.now()) === undefined) return undefined;
    this.#index.pin(key, podUid);
    return this.#deps.folder.treePath(key);
  }

  /** Brings the code here and pins it for the pod. */
  async fetch(code: CodeReference, wish: FetchWish): Promise<FetchTimings & { treePath: string }> {
    const key = cacheKey(code);
    const startedMs = this.#deps.clock.monotonic();
    // before it is there, so that it cannot be evicted between its arrival and its use
    this.#index.pin(key, wish.podUid);
    try {
      const { unpackMs } = await this.#flights.join(key, wish.signal, (signal) =>
        this.#queue.add(() => this.#bring(key, code, signal), { priority: -wish.deadlineUnixMs, signal }),
      );
      const waitedMs = this.#deps.clock.monotonic() - startedMs;
      return { treePath: this.#deps.folder.treePath(key), fetchMs: Math.max(0, waitedMs - unpackMs), unpackMs };
    } catch (error) {
      this.#index.unpin(wish.podUid);
      throw error;
    }
  }

  /** A pod found on the node already has this tree. */
  adoptPin(treePath: string, podUid: PodUid): void {
    const key = this.#deps.folder.keyOfTree(treePath);
    if (key !== undefined) this.#index.pin(key, podUid);
  }

  release(podUid: PodUid): void {
    const entry = this.#index.unpin(podUid);
    if (entry !== undefined) this.#deps.folder.touch(entry).catch(this.#deps.onProblem);
  }

  digests(): string[] {
    return [...new Set([...this.#index.entries()].map(({ digest }) => digest))];
  }

  get usedBytes(): number {
    return this.#index.usedBytes;
  }

  describe(): CacheReply {
    return {
      usedBytes: this.#index.usedBytes,
      limitBytes: this.#index.limitBytes,
      entries: [...this.#index.entries()].map(({ digest, sizeBytes, inUse, lastUsedUnixMs }) => ({
        digest,
        sizeBytes,
        inUse,
        lastUsedUnixMs,
      })),
    };
  }

  async #bring(key: string, code: CodeReference, signal: AbortSignal): Promise<FetchTimings> {
    for (let transfer = 1; ; transfer++) {
      try {
        return await this.#transfer(key, code, signal);
      } catch (error) {
        // the next claim for this node may find room; this one is told the truth
        if (isHostError(error, 'CacheFull')) this.#removeEvicted(this.#index.shrinkTo(this.#index.usedBytes / 2));
        const isBrokenOff = error instanceof TransferBroken;
        if (!isBrokenOff) throw error;
        if (transfer >= MAX_TRANSFERS || signal.aborted) throw error.reason;
      }
    }
  }

  async #transfer(key: string, code: CodeReference, signal: AbortSignal): Promise<FetchTimings> {
    const { clock, folder, sources, unpacker } = this.#deps;
    const startedMs = clock.monotonic();
    unpacker.warmUp();
    const download = await sources.open(code, {
      signal,
      priority: { kind: 'claim', deadlineUnixMs: 0 },
      wantsTail: code.format === 'zip',
    });
    const { maxArchiveBytes } = this.#options.unpackLimits;
    if (download.sizeBytes !== undefined && download.sizeBytes > maxArchiveBytes) {
      download.close();
      throw hostError.archiveTooLarge(`is ${download.sizeBytes} bytes; at most ${maxArchiveBytes} are allowed`);
    }
    const tmpPath = folder.newTmpPath();
    let receivedMs = startedMs;
    const job = {
      folder: tmpPath,
      format: code.format,
      fileName: code.fileName ?? '',
      digest: code.digest,
      limits: this.#options.unpackLimits,
    };
    const tree = await unpacker
      .unpack(job, download, signal, () => (receivedMs = clock.monotonic()))
      .catch((error: unknown) => {
        throw isHostError(error, 'StoreUnreachable') ? new TransferBroken(error) : error;
      });
    await this.#commit(tmpPath, key, code.digest, tree.diskBytes);
    const timings = { fetchMs: receivedMs - startedMs, unpackMs: clock.monotonic() - receivedMs };
    this.#deps.onFetched(timings);
    return timings;
  }

  async #commit(tmpPath: string, key: string, digest: string, sizeBytes: number): Promise<void> {
    const { clock, folder } = this.#deps;
    try {
      this.#removeEvicted(this.#index.admit(sizeBytes));
      await folder.seal(tmpPath, sizeBytes);
      // a run that was given up late may have brought it already
      if (this.#index.has(key)) return await folder.discard(tmpPath);
      folder.publish(tmpPath, key);
    } catch (error) {
      await folder.discard(tmpPath);
      throw error;
    }
    this.#index.add({ key, digest, sizeBytes, lastUsedUnixMs: clock.now() });
    this.#deps.onCached(digest);
  }

  /** In the background: an unlucky claim must not wait for the deletion of another one's thousand files. */
  #removeEvicted(evicted: CacheEntry[]): void {
    for (const { key, digest } of evicted) {
      if (!this.#index.hasDigest(digest)) this.#deps.onEvicted(digest);
      this.#deps.folder.evict(key).catch(this.#deps.onProblem);
    }
  }
}

class TransferBroken extends Error {
  readonly reason: unknown;

  constructor(reason: unknown) {
    super('the transfer broke off');
    this.reason = reason;
  }
}
