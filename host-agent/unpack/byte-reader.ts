import { releaseChunk } from '../core/release.ts';
import type { ChunkSource } from './chunk-source.ts';

/** Reads by length what arrives in chunks of any length. */
export class ByteReader {
  readonly #source: ChunkSource;
  #whole: Buffer = Buffer.alloc(0);
  /** What is left of it. */
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;
  /** Read to their end by the call before. */
  #spent: Buffer[] = [];

  constructor(source: ChunkSource) {
    this.#source = source;
  }

  /** Of the next byte, from the start of the source. */
  get position(): number {
    return this.#position;
  }

  /** Fewer bytes than asked for only at the end. Mostly a view: to be used before the next call. */
  async read(length: number): Promise<Buffer> {
    this.#releaseSpent();
    if (this.#chunk.length >= length) return this.#take(length);
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0 && (this.#chunk.length > 0 || (await this.#next()))) {
      const part = this.#take(missing);
      parts.push(part);
      missing -= part.length;
    }
    const [only = Buffer.alloc(0)] = parts;
    return parts.length <= 1 ? only : Buffer.concat(parts, length - missing);
  }

  /** A part is its reader's until the next one is asked for. */
  async *stream(length: number): AsyncGenerator<Buffer, void, undefined> {
    for (let left = length; left > 0;) {
      this.#releaseSpent();
      if (this.#chunk.length === 0 && !(await this.#next())) return;
      const part = this.#take(left);
      left -= part.length;
      yield part;
    }
  }

  /** False when the end comes before. */
  async skip(length: number): Promise<boolean> {
    let left = length;
    while (left > 0) {
      this.#releaseSpent();
      if (this.#chunk.length === 0 && !(await this.#next())) return false;
      left -= this.#take(left).length;
    }
    return true;
  }

  #take(atMost: number): Buffer {
    const part = this.#chunk.subarray(0, atMost);
    this.#chunk = this.#chunk.subarray(part.length);
    this.#position += part.length;
    if (this.#chunk.length === 0 && part.length > 0) this.#spent.push(this.#whole);
    return part;
  }

  async #next(): Promise<boolean> {
    const chunk = await this.#source.next();
    if (chunk === undefined) return false;
    this.#whole = chunk;
    this.#chunk = chunk;
    return true;
  }

  #releaseSpent(): void {
    for (const chunk of this.#spent.splice(0)) releaseChunk(chunk);
  }
}
