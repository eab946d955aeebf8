import type { ChunkSource } from './chunk-source.ts';

/** Reads by length what arrives in chunks of any length. */
export class ByteReader {
  readonly #source: ChunkSource;
  #chunk: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(source: ChunkSource) {
    this.#source = source;
  }

  /** Of the next byte, from the start of the source. */
  get position(): number {
    return this.#position;
  }

  /** Fewer bytes than asked for only at the end. Mostly a view: to be used before the next call. */
  async read(length: number): Promise<Buffer> {
    if (this.#chunk.length >= length) return this.#take(length);
    const parts: Buffer[] = [];
    let missing = length;
    for await (const part of this.stream(length)) {
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts, length - missing);
  }

  async *stream(length: number): AsyncGenerator<Buffer, void, undefined> {
    for (let left = length; left > 0;) {
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
      if (this.#chunk.length === 0 && !(await this.#next())) return false;
      left -= this.#take(left).length;
    }
    return true;
  }

  #take(atMost: number): Buffer {
    const part = this.#chunk.subarray(0, atMost);
    this.#chunk = this.#chunk.subarray(part.length);
    this.#position += part.length;
    return part;
  }

  async #next(): Promise<boolean> {
    const chunk = await this.#source.next();
    if (chunk === undefined) return false;
    this.#chunk = chunk;
    return true;
  }
}
