import type { Clock } from './clock.ts';

/**
 * Our own writes that the cache has not shown yet, per key (a pool). While a key is not satisfied, counting the cache and acting on
 * the difference would do the same thing twice. A write that never shows (its event was missed, or it was never made) is given up
 * after a while, so that a key cannot hang for good.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #expireMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(clock: Clock, expireMs = 5 * 60_000) {
    this.#clock = clock;
    this.#expireMs = expireMs;
  }

  /** `count` create calls are about to be made; each must end in `creationReturned`, `creationFailed` or `creationUnknown`. */
  expectCreations(key: string, count: number): void {
    const entry = this.#entry(key);
    entry.calls += count;
    this.#extend(entry);
  }

  /** The call was answered with this object; its event may have come already. */
  creationReturned(key: string, uid: string): void {
    const entry = this.#entries.get(key);
    if (!entry || entry.calls === 0) return;
    entry.calls--;
    if (!entry.seenEarly.delete(uid)) entry.awaited.add(uid);
    this.#tidy(key, entry);
  }

  /** The call certainly made nothing. */
  creationFailed(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry || entry.calls === 0) return;
    entry.calls--;
    this.#tidy(key, entry);
  }

  /** Nobody knows whether the call made something (no answer, 5xx): wait for an object that no other call accounts for. */
  creationUnknown(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry || entry.calls === 0) return;
    entry.calls--;
    entry.unknown++;
    this.#tidy(key, entry);
  }

  /** The cache shows a new object of this key, whoever made it. */
  creationObserved(key: string, uid: string): void {
    const entry = this.#entries.get(key);
    if (!entry || entry.awaited.delete(uid)) {
      if (entry) this.#tidy(key, entry);
      return;
    }
    if (entry.calls + entry.unknown > 0) entry.seenEarly.add(uid);
    this.#tidy(key, entry);
  }

  /** Before the delete call, or the write that takes the object out of the key's count. */
  expectDeletion(key: string, uid: string): void {
    const entry = this.#entry(key);
    entry.deletions.add(uid);
    this.#extend(entry);
  }

  /** The cache shows it gone; or the call certainly deleted nothing. */
  deletionObserved(key: string, uid: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.deletions.delete(uid);
    this.#tidy(key, entry);
  }

  /** The cache shows everything that we wrote for this key, or has had time enough. */
  satisfied(key: string): boolean {
    const entry = this.#entries.get(key);
    if (!entry) return true;
    if (this.#clock.monotonic() < entry.expiresAtMs) return false;
    this.#entries.delete(key);
    return true;
  }

  /** How long until {@link satisfied} would be true by itself; undefined when it is. */
  expiresInMs(key: string): number | undefined {
    const entry = this.#entries.get(key);
    return entry && Math.max(0, entry.expiresAtMs - this.#clock.monotonic());
  }

  /** The key is gone. */
  forget(key: string): void {
    this.#entries.delete(key);
  }

  #entry(key: string): Entry {
    const existing = this.#entries.get(key);
    if (existing && this.#clock.monotonic() < existing.expiresAtMs) return existing;
    const entry: Entry = {
      calls: 0,
      unknown: 0,
      awaited: new Set(),
      seenEarly: new Set(),
      deletions: new Set(),
      expiresAtMs: 0,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #extend(entry: Entry): void {
    entry.expiresAtMs = this.#clock.monotonic() + this.#expireMs;
  }

  #tidy(key: string, entry: Entry): void {
    // Only when every call has ended is it certain that an early one is not ours by a known answer.
    if (entry.calls === 0) {
      entry.unknown = Math.max(0, entry.unknown - entry.seenEarly.size);
      entry.seenEarly.clear();
    }
    const outstanding = entry.calls + entry.unknown + entry.awaited.size + entry.deletions.size;
    if (outstanding === 0) this.#entries.delete(key);
  }
}

interface Entry {
  /** Create calls under way. */
  calls: number;
  /** Create calls that ended without an answer. */
  unknown: number;
  /** Made by us, not yet seen. */
  awaited: Set<string>;
  /** Seen while calls were under way: perhaps the answer to one of them. */
  seenEarly: Set<string>;
  deletions: Set<string>;
  expiresAtMs: number;
}
