import { LRUCache } from 'lru-cache';
import { hostError } from '../errors.ts';

export interface CacheEntry {
  /** Digest and form: the same bytes read as another format are another tree. */
  key: string;
  digest: string;
  sizeBytes: number;
  lastUsedUnixMs: number;
  /** An entry of an earlier process is, only once its tree was compared with what was written down about it. */
  isVerified: boolean;
}

/**
 * What the cache holds and who uses it; no disk in here. Entries in use are kept apart from the LRU order, so eviction cannot even see
 * them. A holder (a pod) uses at most one entry, since a pod is loaded once in its life.
 */
export class CacheIndex {
  readonly limitBytes: number;
  readonly #unused = new LRUCache<string, CacheEntry>({
    maxSize: Number.MAX_SAFE_INTEGER,
    sizeCalculation: (entry) => Math.max(1, entry.sizeBytes),
  });
  readonly #inUse = new Map<string, CacheEntry>();
  /** A key may be pinned before its entry is there: it is then never for a moment evictable. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #keyOfHolder = new Map<string, string>();
  #usedBytes = 0;
  /** By fetches under way: written already, or about to be. */
  #reservedBytes = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  /** Marks the entry as used just now. One that is not verified counts as absent. */
  get(key: string, nowUnixMs: number): CacheEntry | undefined {
    const entry = this.#inUse.get(key) ?? this.#unused.get(key);
    if (entry?.isVerified !== true) return undefined;
    entry.lastUsedUnixMs = nowUnixMs;
    return entry;
  }

  isUnverified(key: string): boolean {
    return (this.#inUse.get(key) ?? this.#unused.peek(key))?.isVerified === false;
  }

  markVerified(key: string): void {
    const entry = this.#inUse.get(key) ?? this.#unused.peek(key);
    if (entry !== undefined) entry.isVerified = true;
  }

  /** Forgets an entry whoever uses it: they keep their place for the one that comes instead. */
  remove(key: string): CacheEntry | undefined {
    const entry = this.#inUse.get(key) ?? this.#unused.peek(key);
    if (entry === undefined) return undefined;
    this.#inUse.delete(key);
    this.#unused.delete(key);
    this.#usedBytes -= entry.sizeBytes;
    return entry;
  }

  pin(key: string, holder: string): void {
    if (this.#keyOfHolder.get(holder) !== undefined) this.unpin(holder);
    this.#keyOfHolder.set(holder, key);
    const holders = this.#holders.get(key);
    if (holders === undefined) this.#holders.set(key, new Set([holder]));
    else holders.add(holder);
    const entry = this.#unused.peek(key);
    if (entry === undefined) return;
    this.#unused.delete(key);
    this.#inUse.set(key, entry);
  }

  unpin(holder: string): CacheEntry | undefined {
    const key = this.#keyOfHolder.get(holder);
    if (key === undefined) return undefined;
    this.#keyOfHolder.delete(holder);
    const holders = this.#holders.get(key);
    holders?.delete(holder);
    if (holders !== undefined && holders.size > 0) return undefined;
    this.#holders.delete(key);
    const entry = this.#inUse.get(key);
    if (entry === undefined) return undefined;
    this.#inUse.delete(key);
    this.#unused.set(key, entry);
    return entry;
  }

  has(key: string): boolean {
    return this.#inUse.has(key) || this.#unused.has(key);
  }

  isPinned(key: string): boolean {
    return this.#holders.has(key);
  }

  /** Makes room for bytes that a fetch writes; returns the entries that have to go for it, least recently used first. */
  reserve(sizeBytes: number): CacheEntry[] {
    const keptBytes = [...this.#inUse.values()].reduce((sum, entry) => sum + entry.sizeBytes, 0);
    if (keptBytes + this.#reservedBytes + sizeBytes > this.limitBytes) {
      throw hostError.cacheFull(
        `${sizeBytes} bytes more do not fit: of ${this.limitBytes} bytes ${keptBytes} are in use by running pods and ${this.#reservedBytes} by other fetches`,
      );
    }
    this.#reservedBytes += sizeBytes;
    return this.shrinkTo(this.limitBytes - this.#reservedBytes);
  }

  giveBack(reservedBytes: number): void {
    this.#reservedBytes -= reservedBytes;
  }

  add(entry: CacheEntry): void {
    if (this.#holders.has(entry.key)) this.#inUse.set(entry.key, entry);
    else this.#unused.set(entry.key, entry);
    this.#usedBytes += entry.sizeBytes;
  }

  /** The entry, which is in use, takes more room than it did, or less; false when all together would then take more than `limitBytes`. */
  grow(key: string, moreBytes: number, limitBytes: number): boolean {
    const entry = this.#inUse.get(key);
    if (entry === undefined) return false;
    if (moreBytes > 0 && this.#usedBytes + this.#reservedBytes + moreBytes > limitBytes) return false;
    entry.sizeBytes += moreBytes;
    this.#usedBytes += moreBytes;
    return true;
  }

  /** Evicts unused entries until at most `targetBytes` are left, or none is left to evict. */
  shrinkTo(targetBytes: number): CacheEntry[] {
    const evicted: CacheEntry[] = [];
    while (this.#usedBytes > targetBytes) {
      const entry = this.#unused.pop();
      if (entry === undefined) break;
      this.#usedBytes -= entry.sizeBytes;
      evicted.push(entry);
    }
    return evicted;
  }

  *entries(): Generator<CacheEntry & { inUse: number }, void, undefined> {
    for (const entry of this.#inUse.values()) yield { ...entry, inUse: this.#holders.get(entry.key)?.size ?? 0 };
    for (const entry of this.#unused.values()) yield { ...entry, inUse: 0 };
  }

  hasDigest(digest: string): boolean {
    for (const entry of this.entries()) if (entry.digest === digest) return true;
    return false;
  }
}
