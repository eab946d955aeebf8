import type { ByteRange } from '../core/range-plan.ts';

/** What the reader gets at once: at 50 MB/s it waits 5 ms for it. */
const PIECE_BYTES = 256 * 1024;

/** One range of an object while it arrives: filled by its connection, emptied in order by the one reader of the whole. */
export class RangePart {
  readonly range: ByteRange;
  receivedBytes = 0;
  readonly #giveBack: () => void;
  readonly #arrived: Uint8Array<ArrayBuffer>[] = [];
  /** The piece that is being filled. */
  #piece: Uint8Array<ArrayBuffer> | undefined;
  #pieceBytes = 0;
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

  /** Copies: what the network gave is a view of a larger buffer, which could not be handed to another thread. */
  push(chunk: Uint8Array): void {
    for (let position = 0; position < chunk.length;) {
      const piece = (this.#piece ??= newPiece(Math.min(PIECE_BYTES, this.sizeBytes - this.receivedBytes)));
      const part = chunk.subarray(position, position + piece.length - this.#pieceBytes);
      piece.set(part, this.#pieceBytes);
      this.#pieceBytes += part.length;
      position += part.length;
      this.receivedBytes += part.length;
      if (this.#pieceBytes < piece.length) return;
      this.#arrived.push(piece);
      this.#piece = undefined;
      this.#pieceBytes = 0;
      this.#wake();
    }
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
    this.#piece = undefined;
    this.#giveBack();
  }

  /** Everything, without emptying it. */
  async whole(): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#outcome === 'open') await this.#change();
    if (this.#outcome !== 'complete') throw this.#outcome.error;
    return joined(this.#arrived);
  }

  /** What has arrived, in pieces that belong to the reader. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const piece = this.#arrived.shift();
      if (piece !== undefined) yield piece;
      else if (this.#outcome === 'complete') break;
      else if (this.#outcome === 'open') await this.#change();
      else throw this.#outcome.error;
    }
    this.#giveBack();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }
}

function newPiece(bytes: number): Uint8Array<ArrayBuffer> {
  return Buffer.allocUnsafeSlow(bytes);
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = newPiece(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let position = 0;
  for (const piece of pieces) {
    bytes.set(piece, position);
    position += piece.length;
  }
  return bytes;
}
