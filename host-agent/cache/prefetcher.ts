import PQueue from 'p-queue';
import type { PrefetchStatus } from '@warmpool/protocol/host-agent-api.ts';
import { cacheKey, type WantedCode } from '../core/cache-key.ts';
import { hostError, isHostError } from '../errors.ts';
import type { CodeCache } from './code-cache.ts';

/** Fetches that claims cannot use meanwhile: few. */
const CONCURRENCY = 2;
/** A store that trickles must not hold up all that wait. */
const LIMIT_MS = 10 * 60_000;
const MAX_WAITING = 1_000;
const MAX_REMEMBERED = 200;

interface Prefetch {
  code: WantedCode;
  outcome?: { state: 'cached' } | { state: 'failed'; code: string; message: string };
}

export interface PrefetcherDeps {
  cache: Pick<CodeCache, 'prefetch' | 'progressOf'>;
  onProblem: (error: unknown) => void;
}

/** Brings code that somebody expects to be claimed, a few at a time and after all that is claimed now. */
export class Prefetcher {
  readonly #deps: PrefetcherDeps;
  readonly #queue = new PQueue({ concurrency: CONCURRENCY });
  readonly #prefetches = new Map<string, Prefetch>();
  readonly #end = new AbortController();

  constructor(deps: PrefetcherDeps) {
    this.#deps = deps;
  }

  /** Asking again for what is under way changes nothing; for what has ended, it begins again. */
  start(code: WantedCode): PrefetchStatus {
    const key = cacheKey(code);
    const known = this.#prefetches.get(key);
    if (known !== undefined && known.outcome === undefined) return this.#describe(known);
    if (this.#queue.size >= MAX_WAITING) throw hostError.tooManyPrefetches(MAX_WAITING);
    const prefetch: Prefetch = { code };
    this.#prefetches.delete(key);
    this.#prefetches.set(key, prefetch);
    this.#forgetOld();
    void this.#queue.add(() => this.#run(prefetch));
    return this.#describe(prefetch);
  }

  list(): PrefetchStatus[] {
    return [...this.#prefetches.values()].map((prefetch) => this.#describe(prefetch));
  }

  close(): void {
    this.#queue.clear();
    this.#end.abort(hostError.draining());
  }

  async #run(prefetch: Prefetch): Promise<void> {
    const { cache, onProblem } = this.#deps;
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(hostError.deadlineExceeded('it was being prefetched')), LIMIT_MS);
    try {
      await cache.prefetch(prefetch.code, AbortSignal.any([this.#end.signal, deadline.signal]));
      prefetch.outcome = { state: 'cached' };
    } catch (error) {
      const { code, message } = isHostError(error) ? error : hostError.internal(error);
      if (!isHostError(error)) onProblem(error);
      prefetch.outcome = { state: 'failed', code, message };
    } finally {
      clearTimeout(timer);
    }
  }

  #describe({ code, outcome }: Prefetch): PrefetchStatus {
    const progress = this.#deps.cache.progressOf(code);
    const { sizeBytes, receivedBytes = 0, isStarted = false } = progress ?? {};
    const { digest, format, access } = code;
    const named = { digest, format, ...(access === undefined ? {} : { access }) };
    if (outcome?.state === 'cached') return { ...named, state: 'cached', receivedBytes };
    if (outcome?.state === 'failed') {
      return { ...named, state: 'failed', receivedBytes, error: { code: outcome.code, message: outcome.message } };
    }
    const state = isStarted ? 'fetching' : 'queued';
    return { ...named, state, receivedBytes, ...(sizeBytes === undefined ? {} : { sizeBytes }) };
  }

  #forgetOld(): void {
    for (const [key, { outcome }] of this.#prefetches) {
      if (this.#prefetches.size <= MAX_REMEMBERED + this.#queue.size) return;
      if (outcome !== undefined) this.#prefetches.delete(key);
    }
  }
}
