import type { ByteRange } from '../core/range-plan.ts';

const MAX_PIECE_BYTES = 1024 * 1024;

/** One range of an object while it arrives: filled by its connection, emptied in order by the one reader of the whole. */
export class RangePart {
  readonly range: ByteRange;
  receivedBytes = 0;
  readonly #giveBack: () => void;
  readonly #arrived: Uint8Array[] = [];
  #outcome: 'open' | 'complete' | { error: unknown } = 'open';
  #waiters: (() => void)[] = [];

  /** `giveBack` returns the memory that was set aside for the part. */
  constructor(range: ByteRange, giveBack: () => void) {
    this.range = range;
    this.#giveBack = giveBack;
  }

  get sizeBytes(): number {
    return this.range.endByte - this.range.startByte;
  }

  push(chunk: Uint8Array): void {
    this.receivedBytes += chunk.length;
    this.#arrived.push(chunk);
    this.#wake();
  }

  complete(): void {
    this.#outcome = 'complete';
    this.#wake();
  }

  fail(error: unknown): void {
    if (this.#outcome === 'open') this.#outcome = { error };
    this.#wake();
  }

  drop(): void {
    this.#arrived.length = 0;
    this.#giveBack();
  }

  /** Everything, without emptying it. */
  async whole(): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#outcome === 'open') await this.#change();
    if (this.#outcome !== 'complete') throw this.#outcome.error;
    return joined(this.#arrived);
  }

  /** What has arrived, in pieces of up to 1 MiB that belong to the reader. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      if (this.#arrived.length > 0) yield joined(this.#takePiece());
      else if (this.#outcome === 'complete') break;
      else if (this.#outcome === 'open') await this.#change();
      else throw this.#outcome.error;
    }
    this.#giveBack();
  }

  #takePiece(): Uint8Array[] {
    let bytes = 0;
    let count = 0;
    for (const chunk of this.#arrived) {
      if (count > 0 && bytes + chunk.length > MAX_PIECE_BYTES) break;
      bytes += chunk.length;
      count++;
    }
    return this.#arrived.splice(0, count);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

/** A copy: what the network gave is a view of a larger buffer, which could not be handed to another thread. */
function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let position = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, position);
    position += chunk.length;
  }
  return bytes;
}
