import PQueue from 'p-queue';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { CacheReply } from '@warmpool/protocol/host-agent-api.ts';
import type { CodeSources } from '../blob/blob-sources.ts';
import type { FetchPriority } from '../blob/fetch-budget.ts';
import type { Clock } from '../clock.ts';
import { cacheKey, type WantedCode } from '../core/cache-key.ts';
import type { CacheEntry } from '../core/cache-index.ts';
import { CacheIndex } from '../core/cache-index.ts';
import { SingleFlight } from '../core/single-flight.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { isHostError } from '../errors.ts';
import type { Unpacker } from '../unpack/unpacker.ts';
import type { CacheFolder } from './cache-folder.ts';
import { CacheRoom } from './cache-room.ts';
import type { FetchProgress, FetchTimings } from './code-fetch.ts';
import { fetchTree } from './code-fetch.ts';
import { isUsable } from './is-usable.ts';

/** Above the first the cache is emptied down to the second in idle time, so that a fetch seldom has to delete before it can write. */
const HIGH_WATERMARK = 0.9;
const LOW_WATERMARK = 0.8;
/** On ext4 creating files costs many times as much for seconds after others were deleted. */
const SWEEP_IDLE_MS = 10_000;

export interface CodeCacheDeps {
  folder: CacheFolder;
  sources: CodeSources;
  unpacker: Unpacker;
  clock: Clock;
  /** Told about each digest that comes and goes. */
  onCached: (digest: string, key: string) => void;
  onEvicted: (digest: string) => void;
  onFetched: (timings: FetchTimings) => void;
  /** An entry of an earlier process was not what it was, and is gone. */
  onCorrupt: (digest: string) => void;
  /** Something in the background failed; the cache itself is still right. */
  onProblem: (error: unknown) => void;
}

export interface CodeCacheOptions {
  limitBytes: number;
  fetchConcurrency: number;
  unpackLimits: UnpackLimits;
  sweepIdleMs?: number;
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
  readonly #room: CacheRoom;
  readonly #flights = new SingleFlight<string, FetchTimings>();
  /** Of the flights, those that have to fetch. */
  readonly #progress = new Map<string, FetchProgress>();
  readonly #verifications = new Map<string, Promise<boolean>>();
  readonly #queue: PQueue;
  #sweepTimer: NodeJS.Timeout | undefined;

  private constructor(deps: CodeCacheDeps, options: CodeCacheOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#index = new CacheIndex(options.limitBytes);
    this.#room = new CacheRoom({ index: this.#index, evict: (entry) => this.#evict(entry) });
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
    this.#room.evict(this.#index.shrinkTo(this.#index.limitBytes));
    this.#sweepLater();
  }

  /** The hot path: no disk, no promise. Pins the entry for the pod when it is there. */
  take(code: WantedCode, podUid: PodUid): string | undefined {
    const key = cacheKey(code);
    if (this.#index.get(key, this.#deps.clock.now()) === undefined) return undefined;
    this.#index.pin(key, podUid);
    return this.#deps.folder.treePath(key);
  }

  /** Brings the code here and pins it for the pod. */
  async fetch(code: WantedCode, wish: FetchWish): Promise<FetchTimings & { treePath: string }> {
    const { podUid, deadlineUnixMs, signal } = wish;
    const { treePath, ...timings } = await this.#bring(code, podUid, { kind: 'claim', deadlineUnixMs }, signal);
    return { treePath, ...timings };
  }

  /** Brings the code here and leaves it unpinned; gives way to every claim, and becomes one when a claim joins. */
  async prefetch(code: WantedCode, signal: AbortSignal): Promise<void> {
    if (this.#index.get(cacheKey(code), this.#deps.clock.now()) !== undefined) return;
    // no pod has such a uid
    const holder = `prefetch of ${cacheKey(code)}`;
    await this.#bring(code, holder, { kind: 'prefetch', deadlineUnixMs: Number.MAX_SAFE_INTEGER }, signal);
    this.#index.unpin(holder);
  }

  progressOf(code: WantedCode): Readonly<FetchProgress> | undefined {
    return this.#progress.get(cacheKey(code));
  }

  /** A pod found on the node already has this tree. */
  adoptPin(treePath: string, podUid: PodUid): void {
    const key = this.#deps.folder.keyOfTree(treePath);
    if (key !== undefined) this.#index.pin(key, podUid);
  }

  release(holder: string): void {
    const entry = this.#index.unpin(holder);
    if (entry !== undefined) this.#deps.folder.touch(entry).catch(this.#deps.onProblem);
  }

  /** Compares what an earlier process left with what it wrote down, one entry after the other, before anybody asks for them. */
  async verifyAll(): Promise<string[]> {
    const unverified = [...this.#index.entries()].filter(({ isVerified }) => !isVerified).toReversed();
    for (const { key } of unverified) if (this.#index.isUnverified(key)) await this.#verify(key);
    return unverified.map(({ key }) => key);
  }

  /** For work on an entry: where it is, and its tree stays until `release`. Undefined when it is not there. */
  hold(key: string, holder: string): string | undefined {
    if (!this.#index.has(key) || this.#index.isUnverified(key)) return undefined;
    this.#index.pin(key, holder);
    return this.#deps.folder.entryPath(key);
  }

  /** Makes room beside a tree that is held, for what can be done without: nothing is evicted for it. */
  grow(key: string, moreBytes: number): boolean {
    return this.#index.grow(key, moreBytes, this.#index.limitBytes * HIGH_WATERMARK);
  }

  digests(): string[] {
    return [...new Set([...this.#index.entries()].map(({ digest }) => digest))];
  }

  get usedBytes(): number {
    return this.#index.usedBytes;
  }

  describe(): CacheReply {
    const { usedBytes, limitBytes, reservedBytes } = this.#index;
    const { deletingBytes, evictedCount, evictedBytes } = this.#room;
    return {
      ...{ usedBytes, limitBytes, fetchingBytes: reservedBytes, deletingBytes, evictedCount, evictedBytes },
      entries: [...this.#index.entries()].map(({ digest, sizeBytes, inUse, lastUsedUnixMs, isVerified }) => ({
        ...{ digest, sizeBytes, inUse, lastUsedUnixMs, isVerified },
      })),
    };
  }

  close(): void {
    clearTimeout(this.#sweepTimer);
  }

  async #bring(
    code: WantedCode,
    holder: string,
    priority: FetchPriority,
    signal: AbortSignal,
  ): Promise<FetchTimings & { treePath: string }> {
    const key = cacheKey(code);
    const startedMs = this.#deps.clock.monotonic();
    // before it is there, so that it cannot be evicted between its arrival and its use
    this.#index.pin(key, holder);
    try {
      this.#hurry(key, priority);
      const { unpackMs } = await this.#flights.join(key, signal, (flightSignal) =>
        this.#fly(key, code, priority, flightSignal),
      );
      const waitedMs = this.#deps.clock.monotonic() - startedMs;
      return { treePath: this.#deps.folder.treePath(key), fetchMs: Math.max(0, waitedMs - unpackMs), unpackMs };
    } catch (error) {
      this.#index.unpin(holder);
      throw error;
    }
  }

  /** A fetch under way is as urgent as the most urgent of those who wait for it. */
  #hurry(key: string, wanted: FetchPriority): void {
    const progress = this.#progress.get(key);
    if (progress === undefined || wanted.kind === 'prefetch') return;
    const { priority } = progress;
    priority.deadlineUnixMs = Math.min(priority.deadlineUnixMs, wanted.deadlineUnixMs);
    priority.kind = 'claim';
    if (!progress.isStarted) this.#queue.setPriority(key, -priority.deadlineUnixMs);
  }

  async #fly(key: string, code: WantedCode, priority: FetchPriority, signal: AbortSignal): Promise<FetchTimings> {
    if (this.#index.isUnverified(key) && (await this.#verify(key))) return NO_TIME;
    const progress: FetchProgress = { priority: { ...priority }, isStarted: false, receivedBytes: 0 };
    this.#progress.set(key, progress);
    try {
      const run = (): Promise<FetchTimings> => this.#fetch(key, code, progress, signal);
      return await this.#queue.add(run, { id: key, priority: -priority.deadlineUnixMs, signal });
    } finally {
      if (this.#progress.get(key) === progress) this.#progress.delete(key);
    }
  }

  async #fetch(key: string, code: WantedCode, progress: FetchProgress, signal: AbortSignal): Promise<FetchTimings> {
    const { clock, onFetched } = this.#deps;
    const startedMs = clock.monotonic();
    const room = this.#room.reservation();
    progress.isStarted = true;
    clearTimeout(this.#sweepTimer);
    try {
      const deps = { ...this.#deps, limits: this.#options.unpackLimits };
      const { tmpPath, diskBytes, receivedMs } = await fetchTree(deps, { code, progress, room, signal });
      await room.growTo(diskBytes).catch(async (error: unknown) => {
        await this.#deps.folder.discard(tmpPath);
        throw error;
      });
      await this.#commit(tmpPath, key, code.digest, diskBytes);
      const timings = { fetchMs: receivedMs - startedMs, unpackMs: clock.monotonic() - receivedMs };
      onFetched(timings);
      return timings;
    } catch (error) {
      // the next claim for this node may find room; this one is told the truth
      const isClaim = progress.priority.kind === 'claim';
      if (isClaim && isHostError(error, 'CacheFull')) this.#room.evict(this.#index.shrinkTo(this.#index.usedBytes / 2));
      throw error;
    } finally {
      room.clear();
      this.#sweepLater();
    }
  }

  async #commit(tmpPath: string, key: string, digest: string, sizeBytes: number): Promise<void> {
    const { clock, folder } = this.#deps;
    try {
      await folder.seal(tmpPath, sizeBytes);
      await folder.expose(tmpPath, key);
      // a run that was given up late may have brought it already
      if (this.#index.has(key)) return await folder.discard(tmpPath);
      folder.publish(tmpPath, key);
    } catch (error) {
      await folder.discard(tmpPath);
      throw error;
    }
    this.#index.add({ key, digest, sizeBytes, lastUsedUnixMs: clock.now(), isVerified: true });
    this.#deps.onCached(digest, key);
  }

  /** Whether the entry of an earlier process is as it was; one that is not is gone afterwards. */
  #verify(key: string): Promise<boolean> {
    const running = this.#verifications.get(key);
    if (running !== undefined) return running;
    const verification = this.#compare(key).finally(() => this.#verifications.delete(key));
    this.#verifications.set(key, verification);
    return verification;
  }

  async #compare(key: string): Promise<boolean> {
    const isWhole = await isUsable(this.#deps, key);
    if (isWhole) this.#index.markVerified(key);
    const entry = isWhole ? undefined : this.#index.remove(key);
    if (entry !== undefined) {
      this.#deps.onCorrupt(entry.digest);
      this.#room.evict([entry]);
    }
    return isWhole;
  }

  /** In the background: an unlucky claim must not wait for the deletion of another one's thousand files. */
  async #evict({ key, digest }: CacheEntry): Promise<void> {
    const { folder, onEvicted, onProblem } = this.#deps;
    if (!this.#index.hasDigest(digest)) onEvicted(digest);
    await folder.evict(key).catch(onProblem);
  }

  #sweepLater(): void {
    const { limitBytes } = this.#index;
    clearTimeout(this.#sweepTimer);
    if (this.#index.usedBytes <= limitBytes * HIGH_WATERMARK) return;
    this.#sweepTimer = setTimeout(() => {
      if (this.#progress.size > 0) return;
      this.#room.evict(this.#index.shrinkTo(limitBytes * LOW_WATERMARK));
    }, this.#options.sweepIdleMs ?? SWEEP_IDLE_MS);
    this.#sweepTimer.unref();
  }
}

const NO_TIME: FetchTimings = { fetchMs: 0, unpackMs: 0 };
