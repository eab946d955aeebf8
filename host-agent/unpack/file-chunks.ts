import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ChunkSource } from './chunk-source.ts';
import type { ZipBytes } from './zip-directory.ts';

const CHUNK_BYTES = 1024 * 1024;

/** A file that was put down, chunk by chunk and at any place. */
export class FileChunks implements ChunkSource, ZipBytes {
  readonly archiveBytes: number;
  readonly #fd: number;
  #position = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
    this.archiveBytes = fstatSync(this.#fd).size;
  }

  next(): Promise<Buffer | undefined> {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.archiveBytes - this.#position));
    const count = this.readAt(buffer, 0, buffer.length, this.#position);
    this.#position += count;
    return Promise.resolve(count === 0 ? undefined : buffer.subarray(0, count));
  }

  readAt(buffer: Buffer, offset: number, length: number, position: number): number {
    let read = 0;
    while (read < length) {
      const count = readSync(this.#fd, buffer, offset + read, length - read, position + read);
      if (count === 0) break;
      read += count;
    }
    return read;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
