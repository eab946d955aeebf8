import type { Clock } from '../clock.ts';
import type { Random } from '../core/backoff.ts';
import { backoffMs } from '../core/backoff.ts';
import type { ObjectVersion } from '../core/object-version.ts';
import { PrioritySemaphore } from '../core/priority-semaphore.ts';
import type { ByteRange, LinkEstimate } from '../core/range-plan.ts';
import { LANES, nextRange, zipTailBytes } from '../core/range-plan.ts';
import { releaseChunk } from '../core/release.ts';
import { hostError, isHostError } from '../errors.ts';
import type { BlobStore, OpenedBlob } from './blob-store.ts';
import type { Download, DownloadTail, DownloadWish } from './downloader.ts';
import type { FetchBudget } from './fetch-budget.ts';
import { RangePart } from './range-part.ts';

/** Of one object: bytes asked for and not yet taken by its reader. */
const WINDOW_BYTES = 32 * 1024 * 1024;
/** A range that broke off is resumed this often without a byte in between, and all ranges of an object together so often. */
const MAX_FRUITLESS = 3;
const MAX_RESUMPTIONS = 16;
const RESUME_BASE_MS = 50;
const RESUME_LIMIT_MS = 1_000;
/** Below this a rate says more about the scheduler than about the link. */
const MEASURABLE_BYTES = 256 * 1024;

export interface RangedDownloadDeps {
  clock: Clock;
  random: Random;
  budget: FetchBudget;
  store: BlobStore;
  source: string;
  onMeasured: (seen: Partial<LinkEstimate>) => void;
}

/**
 * One object over several connections. Ranges are started in order and read in order; each holds memory of its own size from its
 * start until it was read, so a slow reader stops further requests and not the connections under way. Memory and connections are
 * always taken in the order of the bytes, so whoever holds some can go on without those behind it.
 */
export class RangedDownload implements Download {
  sizeBytes?: number;
  tail?: Promise<DownloadTail>;
  blame?: () => void;
  readonly #deps: RangedDownloadDeps;
  readonly #link: LinkEstimate;
  readonly #wish: DownloadWish;
  readonly #end = new AbortController();
  readonly #signal: AbortSignal;
  readonly #lanes = new PrioritySemaphore(LANES);
  readonly #window = new PrioritySemaphore(WINDOW_BYTES);
  readonly #parts: RangePart[] = [];
  #version: ObjectVersion | undefined;
  #resumptions = 0;
  #isPlanned = false;
  #failure: { error: unknown } | undefined;
  #wakeReader: (() => void) | undefined;
  /** The whole object in one answer: read through, with the connection as the only buffer. */
  #single: AsyncIterable<Uint8Array> | undefined;
  #giveBackSingle = (): void => {};

  constructor(deps: RangedDownloadDeps, link: LinkEstimate, wish: DownloadWish) {
    this.#deps = deps;
    this.#link = link;
    this.#wish = wish;
    this.#signal = AbortSignal.any([wish.signal, this.#end.signal]);
  }

  /** Asks for the first bytes; from the answer on the size, the version and whether there are ranges are known. */
  async begin(firstBytes: number): Promise<void> {
    const first = { startByte: 0, endByte: firstBytes };
    const giveBack = await this.#hold(firstBytes);
    try {
      const blob = await this.#ask(first, undefined);
      this.#version = blob.version;
      if (blob.sizeBytes !== undefined) this.sizeBytes = blob.sizeBytes;
      if (blob.range === undefined || blob.sizeBytes === undefined) {
        this.#single = blob.stream;
        this.#giveBackSingle = () => giveBack.forEach((act) => act());
        return;
      }
      const [memory, connection] = giveBack;
      const part = new RangePart(blob.range, memory);
      this.#parts.push(part);
      void this.#receive(part, blob).finally(connection);
      this.#planRest(blob.range.endByte, blob.sizeBytes);
    } catch (error) {
      giveBack.forEach((act) => act());
      throw error;
    }
  }

  get stream(): AsyncIterable<Uint8Array> {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      if (this.#single !== undefined) return yield* this.#readSingle(this.#single);
      for (;;) {
        const part = this.#parts[0];
        if (part !== undefined) {
          yield* part.read();
          this.#parts.shift();
        } else if (this.#isPlanned) return;
        else if (this.#failure !== undefined) throw this.#failure.error;
        else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
    } finally {
      this.close();
    }
  }

  async *#readSingle(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of stream) {
      await this.#account(chunk.length);
      yield chunk;
    }
  }

  close(): void {
    this.#end.abort(new Error('the download is over'));
    this.#giveBackSingle();
    for (const part of this.#parts) part.drop();
  }

  #planRest(fromByte: number, sizeBytes: number): void {
    const wantsTail = this.#wish.wantsTail && fromByte < sizeBytes;
    const tailStart = wantsTail ? Math.max(fromByte, sizeBytes - zipTailBytes(sizeBytes)) : sizeBytes;
    const tail = wantsTail ? this.#startTail({ startByte: tailStart, endByte: sizeBytes }) : undefined;
    this.#startParts(fromByte, tailStart)
      .then(() => {
        if (tail !== undefined) this.#parts.push(tail);
        this.#isPlanned = true;
      })
      .catch((error: unknown) => (this.#failure = { error }))
      .finally(() => this.#wakeReader?.());
  }

  /** Out of its turn and so without waiting for the budget: bounded by its size, and by one for each fetch. */
  #startTail(range: ByteRange): RangePart {
    const part = new RangePart(range, () => {});
    void this.#receive(part, undefined);
    this.tail = part.whole().then((bytes) => ({ startByte: range.startByte, bytes }));
    this.tail.catch(() => {});
    return part;
  }

  async #startParts(fromByte: number, endByte: number): Promise<void> {
    let startByte = fromByte;
    for (let index = 0; startByte < endByte; index++) {
      const range = nextRange(startByte, endByte, index, this.#link);
      const [memory, connection] = await this.#hold(range.endByte - range.startByte);
      const part = new RangePart(range, memory);
      this.#parts.push(part);
      this.#wakeReader?.();
      void this.#receive(part, undefined).finally(connection);
      startByte = range.endByte;
    }
  }

  /** The ways to give back the memory and the connection. */
  async #hold(bytes: number): Promise<[memory: () => void, connection: () => void]> {
    const { budget } = this.#deps;
    const held: (() => void)[] = [];
    const giveBack = (from: number, to: number) => () => held.slice(from, to).forEach((act) => act());
    const [signal, { priority }] = [this.#signal, this.#wish];
    try {
      held.push(await this.#window.acquire(bytes, signal));
      held.push(await budget.memory(bytes, priority, signal));
      held.push(await this.#lanes.acquire(1, signal));
      held.push(await budget.connection(priority, signal));
    } catch (error) {
      giveBack(0, 4)();
      throw error;
    }
    return [giveBack(0, 2), giveBack(2, 4)];
  }

  /** Never rejects: the part tells its reader. */
  async #receive(part: RangePart, opened: OpenedBlob | undefined): Promise<void> {
    let blob = opened;
    for (let fruitless = 0; ;) {
      const before = part.receivedBytes;
      try {
        blob ??= await this.#ask(
          { startByte: part.range.startByte + before, endByte: part.range.endByte },
          this.#version,
        );
        await this.#fill(part, blob);
        part.complete();
        // one turn later the connection is free again, and the next range need not open another
        return await new Promise((resolve) => setImmediate(resolve));
      } catch (error) {
        blob = undefined;
        fruitless = part.receivedBytes === before ? fruitless + 1 : 0;
        const isTransient = isHostError(error, 'StoreUnreachable') && error.facts.isOtherVersion !== true;
        if (
          !isTransient ||
          this.#signal.aborted ||
          fruitless >= MAX_FRUITLESS ||
          ++this.#resumptions > MAX_RESUMPTIONS
        ) {
          return part.fail(this.#wish.signal.aborted ? this.#wish.signal.reason : error);
        }
        const { clock, random } = this.#deps;
        await clock.sleep(backoffMs(fruitless, RESUME_BASE_MS, RESUME_LIMIT_MS, random), this.#signal).catch(() => {});
      }
    }
  }

  async #ask(range: ByteRange, version: ObjectVersion | undefined): Promise<OpenedBlob> {
    const { clock, store, source, onMeasured } = this.#deps;
    const { originOnly = false } = this.#wish;
    const askedMs = clock.monotonic();
    const blob = await store.open(source, {
      signal: this.#signal,
      range,
      originOnly,
      ...(version === undefined ? {} : { version }),
    });
    onMeasured({ latencyMs: clock.monotonic() - askedMs });
    if (blob.blame !== undefined) this.blame = blob.blame;
    return blob;
  }

  async #fill(part: RangePart, blob: OpenedBlob): Promise<void> {
    const { clock, onMeasured } = this.#deps;
    const startedMs = clock.monotonic();
    const before = part.receivedBytes;
    if (blob.range === undefined && part.range.startByte + before > 0) {
      await blob.stream[Symbol.asyncIterator]().return?.();
      throw hostError.storeUnreachable(this.#deps.source, 'it answers ranges no more');
    }
    for await (const chunk of blob.stream) {
      await this.#account(chunk.length);
      if (part.receivedBytes + chunk.length > part.sizeBytes) {
        throw hostError.storeUnreachable('the source', 'it sends more than it was asked for');
      }
      part.push(chunk);
      releaseChunk(chunk);
    }
    if (part.receivedBytes < part.sizeBytes) throw hostError.storeUnreachable('the source', 'the transfer broke off');
    const bytes = part.receivedBytes - before;
    if (bytes >= MEASURABLE_BYTES) onMeasured({ bytesPerMs: bytes / Math.max(1, clock.monotonic() - startedMs) });
  }

  async #account(bytes: number): Promise<void> {
    this.#wish.onBytes?.(bytes);
    await this.#deps.budget.pass(bytes, this.#wish.priority, this.#signal);
  }
}
