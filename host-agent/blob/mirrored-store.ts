import { CircuitBreaker } from '../core/circuit-breaker.ts';
import { hostError, isHostError } from '../errors.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';
import type { HttpAnswer, HttpGetDeps, HttpTarget } from './http-get.ts';
import { blobOf, discard, getOnce } from './http-get.ts';
import { within } from './within.ts';

/** A mirror that has not begun to answer by then is not waited for. */
const ANSWER_LIMIT_MS = 1_000;
/** Waited for its bytes this long at less than this rate, a connection to it is given up. */
const SLOW_LIMIT_MS = 2_000;
const SLOW_BYTES_PER_MS = 256;

/** A claim is late by no more than this because of a mirror that fails in any way but with wrong bytes. */
export const MIRROR_PATIENCE_MS = ANSWER_LIMIT_MS + SLOW_LIMIT_MS;

export type MirrorOutcome =
  | 'served'
  /** Not asked: it failed a moment ago. */
  | 'paused'
  | 'absent'
  | 'unreachable'
  | 'no_answer'
  | 'slow'
  | 'broke_off'
  | 'other_version'
  | 'wrong_range'
  | 'wrong_bytes'
  | `status_${number}`;

/** A store whose requests can also be sent elsewhere. */
export interface MirrorableStore extends BlobStore {
  target(source: string): Promise<HttpTarget>;
}

export interface MirroredStoreDeps extends HttpGetDeps {
  origin: MirrorableStore;
  onOutcome: (outcome: MirrorOutcome) => void;
}

/**
 * An HTTP cache in front of a store, asked first with the very request that the store would get, its `Host` and signature included.
 * Whatever the mirror does wrong, the store itself is asked, and the mirror left alone for a while.
 */
export class MirroredStore implements BlobStore {
  readonly #deps: MirroredStoreDeps;
  readonly #mirror: URL;
  readonly #base: string;
  readonly #breaker: CircuitBreaker;

  constructor(deps: MirroredStoreDeps, mirror: URL, breaker = new CircuitBreaker(deps.random)) {
    this.#deps = deps;
    this.#mirror = mirror;
    this.#base = mirror.href.replace(/\/+$/, '');
    this.#breaker = breaker;
  }

  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    const { clock, origin, onOutcome } = this.#deps;
    if (options.originOnly === true) return origin.open(source, options);
    if (!this.#breaker.admits(clock.monotonic())) {
      onOutcome('paused');
      return origin.open(source, options);
    }
    return (await this.#ask(source, options)) ?? origin.open(source, options);
  }

  /** Undefined when the store has to be asked. */
  async #ask(source: string, options: OpenOptions): Promise<OpenedBlob | undefined> {
    const { url, headers } = await this.#deps.origin.target(source);
    const mirrored = new URL(`${this.#base}${url.pathname}${url.search}`);
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ANSWER_LIMIT_MS);
    const signal = AbortSignal.any([options.signal, patience.signal]);
    let answer: HttpAnswer;
    try {
      const target = { url: mirrored, headers: { ...headers, host: url.host } };
      answer = await getOnce(this.#deps.dispatcher, target, { ...options, signal });
    } catch {
      if (options.signal.aborted) throw options.signal.reason;
      return this.#failed(patience.signal.aborted ? 'no_answer' : 'unreachable');
    } finally {
      clearTimeout(timer);
    }
    return this.#read(answer, options);
  }

  #read(answer: HttpAnswer, options: OpenOptions): OpenedBlob | undefined {
    let blob: OpenedBlob | undefined;
    try {
      blob = blobOf(answer, this.#mirror.origin, options);
    } catch (error) {
      const isOther = isHostError(error) && error.facts.isOtherVersion === true;
      return this.#failed(isOther ? 'other_version' : 'wrong_range');
    }
    if (blob === undefined) {
      discard(answer);
      if (answer.statusCode !== 404) return this.#failed(`status_${answer.statusCode}`);
      this.#deps.onOutcome('absent');
      return undefined;
    }
    const { range: asked } = options;
    const { range, sizeBytes = 0 } = blob;
    if (asked !== undefined && range !== undefined && range.endByte !== Math.min(asked.endByte, sizeBytes)) {
      discard(answer);
      return this.#failed('wrong_range');
    }
    return { ...blob, stream: this.#watched(blob.stream, options.signal), blame: () => this.#failed('wrong_bytes') };
  }

  #failed(outcome: MirrorOutcome): undefined {
    this.#deps.onOutcome(outcome);
    this.#breaker.fail(this.#deps.clock.monotonic(), { isGrave: outcome === 'wrong_bytes' });
    return undefined;
  }

  async *#watched(stream: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { clock, onOutcome } = this.#deps;
    const iterator = stream[Symbol.asyncIterator]();
    let [waitedMs, bytes] = [0, 0];
    let isSlow = false;
    try {
      for (;;) {
        const askedMs = clock.monotonic();
        const next = await within(iterator.next(), SLOW_LIMIT_MS - waitedMs);
        waitedMs += clock.monotonic() - askedMs;
        isSlow = next === undefined || (waitedMs >= SLOW_LIMIT_MS && bytes < waitedMs * SLOW_BYTES_PER_MS);
        if (next === undefined || isSlow) {
          throw hostError.storeUnreachable(this.#mirror.origin, 'it is too slow for a mirror');
        }
        if (next.done === true) break;
        bytes += next.value.length;
        if (waitedMs >= SLOW_LIMIT_MS) [waitedMs, bytes] = [0, 0];
        yield next.value;
      }
      onOutcome('served');
      this.#breaker.succeed();
    } catch (error) {
      if (!signal.aborted) this.#failed(isSlow ? 'slow' : 'broke_off');
      throw error;
    } finally {
      // not awaited: a connection that gives nothing does not end its iteration either
      void iterator.return?.(undefined)?.catch(() => {});
    }
  }
}
