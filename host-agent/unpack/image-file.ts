import { closeSync, openSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { EROFS_BLOCK_BYTES } from '../core/erofs-image.ts';
import type { ImageManifest } from './tree-manifest.ts';
import { onDisk, writeWhole } from './on-disk.ts';

const BUFFER_BYTES = 1024 * 1024;
/** From here on a copy costs more than a write of its own. */
const DIRECT_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(EROFS_BLOCK_BYTES);

/** An image on its way to the disk: in one stream and in large pieces, but for its first block, which is known last. */
export class ImageFile {
  readonly #path: string;
  #fd: number | undefined;
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #bufferedBytes = 0;
  #writtenBytes = EROFS_BLOCK_BYTES;
  #crc = 0;

  constructor(path: string) {
    this.#path = path;
    this.#fd = onDisk('', () => openSync(path, 'wx', 0o444));
  }

  get sizeBytes(): number {
    return this.#writtenBytes + this.#bufferedBytes;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length >= DIRECT_BYTES) {
      this.#flush();
      return this.#put(bytes);
    }
    for (let taken = 0; taken < bytes.length;) {
      const part = bytes.subarray(taken, taken + BUFFER_BYTES - this.#bufferedBytes);
      this.#buffer.set(part, this.#bufferedBytes);
      this.#bufferedBytes += part.length;
      taken += part.length;
      if (this.#bufferedBytes === BUFFER_BYTES) this.#flush();
    }
  }

  /** Up to the next block. */
  pad(): void {
    this.append(ZEROS.subarray(0, -this.sizeBytes & (EROFS_BLOCK_BYTES - 1)));
  }

  finish(head: Buffer): ImageManifest {
    this.#flush();
    this.#write(head, 0);
    this.close();
    return { sizeBytes: this.sizeBytes, headCrc: crc32(head), restCrc: this.#crc };
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #flush(): void {
    if (this.#bufferedBytes > 0) this.#put(this.#buffer.subarray(0, this.#bufferedBytes));
    this.#bufferedBytes = 0;
  }

  #put(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc);
    this.#write(bytes, this.#writtenBytes);
    this.#writtenBytes += bytes.length;
  }

  #write(bytes: Uint8Array, atByte: number): void {
    const fd = this.#fd;
    if (fd === undefined) throw new Error(`${this.#path} is closed`);
    writeWhole('', fd, bytes, atByte);
  }
}
