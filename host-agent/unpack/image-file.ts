import { closeSync, openSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { EROFS_BLOCK_BYTES } from '../core/erofs-image.ts';
import type { ImageManifest } from './tree-manifest.ts';
import { onDisk, writeWhole } from './on-disk.ts';

const BUFFER_BYTES = 1024 * 1024;

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
    const endByte = Math.ceil(this.#bufferedBytes / EROFS_BLOCK_BYTES) * EROFS_BLOCK_BYTES;
    this.#buffer.fill(0, this.#bufferedBytes, endByte);
    this.#bufferedBytes = endByte;
    if (endByte === BUFFER_BYTES) this.#flush();
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
    const bytes = this.#buffer.subarray(0, this.#bufferedBytes);
    this.#crc = crc32(bytes, this.#crc);
    this.#write(bytes, this.#writtenBytes);
    this.#writtenBytes += bytes.length;
    this.#bufferedBytes = 0;
  }

  #write(bytes: Uint8Array, atByte: number): void {
    const fd = this.#fd;
    if (fd === undefined) throw new Error(`${this.#path} is closed`);
    writeWhole('', fd, bytes, atByte);
  }
}
