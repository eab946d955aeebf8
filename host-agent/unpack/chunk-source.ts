import { createHash } from 'node:crypto';
import { releaseChunk } from '../core/release.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';
import type { ZipTail } from './zip-directory.ts';

/** Chunks one after the other, which belong to their reader; `undefined` after the last. Unlike an iterator it can be read on after a reader gave up. */
export interface ChunkSource {
  next(): Promise<Buffer | undefined>;
  /** The last bytes, ahead of their turn, where somebody fetched them early. */
  tail?(): Promise<ZipTail | undefined>;
}

/** Hashes and counts whatever is read through it. */
export class HashedSource implements ChunkSource {
  readonly #source: ChunkSource;
  readonly #limits: UnpackLimits;
  readonly #hash = createHash('sha256');
  #readBytes = 0;
  #digest: string | undefined;

  constructor(source: ChunkSource, limits: UnpackLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  async tail(): Promise<ZipTail | undefined> {
    return this.#source.tail?.();
  }

  get readBytes(): number {
    return this.#readBytes;
  }

  async next(): Promise<Buffer | undefined> {
    const chunk = await this.#source.next();
    if (chunk === undefined) return undefined;
    this.#readBytes += chunk.length;
    if (this.#readBytes > this.#limits.maxArchiveBytes) {
      throw hostError.archiveTooLarge(`is larger than ${this.#limits.maxArchiveBytes} bytes`);
    }
    this.#hash.update(chunk);
    return chunk;
  }

  /** Reads what is left, then tells the digest of everything. */
  async digest(): Promise<string> {
    if (this.#digest === undefined) {
      for await (const chunk of chunksOf(this)) releaseChunk(chunk);
      this.#digest = `sha256:${this.#hash.digest('hex')}`;
    }
    return this.#digest;
  }
}

export async function* chunksOf(source: ChunkSource): AsyncGenerator<Buffer, void, undefined> {
  for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) yield chunk;
}
