import type { Dispatcher } from 'undici';
import type { BlobStore, OpenedBlob, OpenOptions } from '../blob/blob-store.ts';
import { within } from '../blob/within.ts';
import type { Clock } from '../clock.ts';
import { digestOfArtefact } from '../core/cache-key.ts';
import { hostError } from '../errors.ts';
import type { PeerDirectory } from './peer-directory.ts';

/** In patiences: so long all peers together have to begin to answer; and so long bytes are waited for at less than this rate. */
const OPEN_PATIENCES = 2;
const SLOW_PATIENCES = 4;
const SLOW_BYTES_PER_MS = 256;
/** A transfer that breaks off or is too slow goes on from another peer this often. */
const MAX_HANDOVERS = 2;

export type PeerOutcome =
  | 'served'
  /** Not asked: it failed a moment ago. */
  | 'paused'
  | 'absent'
  | 'busy'
  | 'unreachable'
  | 'no_answer'
  | 'slow'
  | 'broke_off'
  | 'wrong_answer'
  | 'wrong_bytes';

export interface PeerStoreDeps {
  dispatcher: Dispatcher;
  clock: Clock;
  directory: PeerDirectory;
  /** A peer that has not begun to answer by then is not waited for. */
  patienceMs: number;
  onOutcome: (outcome: PeerOutcome) => void;
}

interface Answer {
  peer: string;
  sizeBytes: number | undefined;
  body: AsyncIterable<Uint8Array>;
}

/**
 * The agents of other nodes, as a store whose objects are digests (and their owners). Reads from one of them at a time; when it fails the next one goes
 * on where it ended. Fails with StoreUnreachable when none is left: then the origin has to be asked.
 */
export class PeerStore implements BlobStore {
  readonly #deps: PeerStoreDeps;

  constructor(deps: PeerStoreDeps) {
    this.#deps = deps;
  }

  async open(id: string, { signal }: OpenOptions): Promise<OpenedBlob> {
    const first = await this.#ask(id, 0, undefined, new Set(), signal);
    if (first === undefined) throw noPeer(id);
    const used = new Set([first.peer]);
    const { sizeBytes } = first;
    return {
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      stream: this.#read(id, first, used, signal),
      blame: () => used.forEach((peer) => this.#failed(peer, 'wrong_bytes')),
    };
  }

  /** The first peer that answers; those in `except` are not asked. */
  async #ask(
    id: string,
    fromByte: number,
    sizeBytes: number | undefined,
    except: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const { clock, directory, patienceMs, onOutcome } = this.#deps;
    const untilMs = clock.monotonic() + OPEN_PATIENCES * patienceMs;
    for (const peer of directory.peersOf(digestOfArtefact(id))) {
      const leftMs = untilMs - clock.monotonic();
      if (leftMs <= 0) return undefined;
      if (except.has(peer)) continue;
      if (!directory.breaker(peer).admits(clock.monotonic())) {
        onOutcome('paused');
        continue;
      }
      const answer = await this.#get(peer, id, fromByte, Math.min(leftMs, patienceMs), signal);
      const isSame = sizeBytes === undefined || answer?.sizeBytes === undefined || answer.sizeBytes === sizeBytes;
      if (answer !== undefined && isSame) return answer;
    }
    return undefined;
  }

  async #get(
    peer: string,
    id: string,
    fromByte: number,
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), limitMs);
    let answer: Dispatcher.ResponseData;
    try {
      answer = await this.#deps.dispatcher.request({
        origin: peer,
        path: `/v1/code/${id.slice('sha256:'.length)}`,
        method: 'GET',
        headers: fromByte === 0 ? {} : { range: `bytes=${fromByte}-` },
        signal: AbortSignal.any([signal, patience.signal]),
      });
    } catch {
      signal.throwIfAborted();
      return this.#failed(peer, patience.signal.aborted ? 'no_answer' : 'unreachable');
    } finally {
      clearTimeout(timer);
    }
    const { statusCode, headers, body } = answer;
    if (statusCode === (fromByte === 0 ? 200 : 206)) {
      const rest = headers['content-length'];
      return { peer, sizeBytes: typeof rest === 'string' ? Number(rest) + fromByte : undefined, body };
    }
    body.on('error', () => {}).destroy();
    if (statusCode !== 404 && statusCode !== 429) return this.#failed(peer, 'wrong_answer');
    // no fault of it
    this.#deps.onOutcome(statusCode === 404 ? 'absent' : 'busy');
    return undefined;
  }

  async *#read(
    id: string,
    first: Answer,
    used: Set<string>,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { clock, directory, patienceMs, onOutcome } = this.#deps;
    let current: Answer = first;
    let receivedBytes = 0;
    for (let handovers = 0; ; handovers++) {
      const flow = new WatchedFlow(clock, current.body, SLOW_PATIENCES * patienceMs);
      try {
        for await (const chunk of flow.chunks()) {
          receivedBytes += chunk.length;
          yield chunk;
        }
        if (first.sizeBytes === undefined || receivedBytes === first.sizeBytes) {
          onOutcome('served');
          directory.breaker(current.peer).succeed();
          return;
        }
      } catch {
        signal.throwIfAborted();
      }
      this.#failed(current.peer, flow.isSlow ? 'slow' : 'broke_off');
      const next =
        handovers < MAX_HANDOVERS
          ? await this.#ask(id, receivedBytes, first.sizeBytes, new Set([current.peer]), signal)
          : undefined;
      if (next === undefined) throw noPeer(id);
      used.add(next.peer);
      current = next;
    }
  }

  #failed(peer: string, outcome: PeerOutcome): undefined {
    const { clock, directory, onOutcome } = this.#deps;
    onOutcome(outcome);
    directory.breaker(peer).fail(clock.monotonic(), { isGrave: outcome === 'wrong_bytes' });
    return undefined;
  }
}

function noPeer(id: string): Error {
  return hostError.storeUnreachable('the peers', `none of them gives ${id} now`);
}

/** Ends with an error when what it is waited for comes too slowly; time that its reader takes does not count. */
class WatchedFlow {
  isSlow = false;
  readonly #clock: Clock;
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #limitMs: number;

  constructor(clock: Clock, source: AsyncIterable<Uint8Array>, limitMs: number) {
    this.#clock = clock;
    this.#source = source;
    this.#limitMs = limitMs;
  }

  async *chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    const iterator = this.#source[Symbol.asyncIterator]();
    const limitMs = this.#limitMs;
    let [waitedMs, bytes] = [0, 0];
    try {
      for (;;) {
        const askedMs = this.#clock.monotonic();
        const next = await within(iterator.next(), limitMs - waitedMs);
        waitedMs += this.#clock.monotonic() - askedMs;
        this.isSlow = next === undefined || (waitedMs >= limitMs && bytes < waitedMs * SLOW_BYTES_PER_MS);
        if (next === undefined || this.isSlow) throw new Error('too slow');
        if (next.done === true) return;
        bytes += next.value.length;
        if (waitedMs >= limitMs) [waitedMs, bytes] = [0, 0];
        yield next.value;
      }
    } finally {
      // not awaited: a connection that gives nothing does not end its iteration either
      void iterator.return?.(undefined)?.catch(() => {});
    }
  }
}
