import { LRUCache } from 'lru-cache';
import type { Clock } from '../engine/clock.ts';

/** What a review said: something to go on with, or the refusal to answer with. */
export type Verdict<T> = { value: T; error?: never } | { error: Error; value?: never };

/** `untilMs`: monotonic; what this verdict rests on ends then. */
export type Review<T> = () => Promise<Verdict<T> & { untilMs?: number }>;

export interface ReviewCacheOptions {
  /** Verdicts of each kind that are kept; the least used go first. */
  limit: number;
  allowTtlMs: number;
  denyTtlMs: number;
}

interface Entry<T> {
  readonly verdict: Verdict<T>;
  readonly untilMs: number;
  renewAtMs: number;
}

/** After a renewal that got no answer, the next one is tried this much later. */
const RENEW_AGAIN_MS = 1_000;
const RENEW_PAUSE_MS = 100;

/**
 * Verdicts of the apiserver, kept for a short time. Whoever asks for one that is known has it at once: a grant is reviewed again
 * behind its users when half its time is over, so a steady client never waits, and one that loses its right loses it within the time.
 * Refusals have a room of their own: a flood of bad tokens displaces no good one.
 */
export class ReviewCache<T> {
  readonly #clock: Clock;
  readonly #options: ReviewCacheOptions;
  readonly #allowed: LRUCache<string, Entry<T>>;
  readonly #denied: LRUCache<string, Entry<T>>;
  readonly #underWay = new Map<string, Promise<Entry<T>>>();

  constructor(clock: Clock, options: ReviewCacheOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#allowed = new LRUCache({ max: options.limit });
    this.#denied = new LRUCache({ max: options.limit });
  }

  known(key: string, renew: Review<T>): Verdict<T> | undefined {
    return this.#current(key, renew)?.verdict;
  }

  /** Rejects when the review fails and nothing is known. Of calls that come together one asks. */
  async get(key: string, review: Review<T>): Promise<Verdict<T> & { untilMs: number }> {
    const { verdict, untilMs } = this.#current(key, review) ?? (await this.#ask(key, review));
    return { ...verdict, untilMs };
  }

  #current(key: string, renew: Review<T>): Entry<T> | undefined {
    const entry = this.#allowed.get(key) ?? this.#denied.get(key);
    if (entry === undefined) return undefined;
    const nowMs = this.#clock.monotonic();
    if (nowMs >= entry.untilMs) return undefined;
    if (nowMs >= entry.renewAtMs) {
      entry.renewAtMs = nowMs + RENEW_AGAIN_MS;
      // not now: the apiserver is to do first what this call is let in for. Without an answer the old verdict ends in its own time
      this.#clock.after(RENEW_PAUSE_MS, () => void this.#ask(key, renew).catch(() => undefined));
    }
    return entry;
  }

  #ask(key: string, review: Review<T>): Promise<Entry<T>> {
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    const asking = this.#askOnce(key, review).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    return asking;
  }

  async #askOnce(key: string, review: Review<T>): Promise<Entry<T>> {
    const { allowTtlMs, denyTtlMs } = this.#options;
    const { untilMs: restsUntilMs = Infinity, ...verdict } = await review();
    const nowMs = this.#clock.monotonic();
    const isAllowed = verdict.error === undefined;
    const untilMs = Math.min(nowMs + (isAllowed ? allowTtlMs : denyTtlMs), restsUntilMs);
    const entry: Entry<T> = { verdict, untilMs, renewAtMs: isAllowed ? (nowMs + untilMs) / 2 : Infinity };
    this.#allowed.delete(key);
    this.#denied.delete(key);
    (isAllowed ? this.#allowed : this.#denied).set(key, entry);
    return entry;
  }
}
