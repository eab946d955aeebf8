import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';

/**
 * Writes a stream to `file` and never lets it pass `limitBytes`: what is full becomes `<file>.1`, so that between one and two
 * limits' worth of the newest output is there. Opens nothing before the first byte, which most pods never write.
 */
export class BoundedLog {
  readonly #file: string;
  readonly #limitBytes: number;
  #descriptor: number | undefined;
  #sizeBytes = 0;

  constructor(file: string, limitBytes: number) {
    this.#file = file;
    this.#limitBytes = limitBytes;
  }

  /** Synchronous writes bound the memory too: a pod that floods its output is slowed down by them. */
  drain(stream: Readable, onError: (error: unknown) => void): void {
    stream.on('data', (chunk: Buffer) => {
      try {
        this.#write(chunk);
      } catch (error) {
        // the pod must not block on a pipe that nobody reads, so the output goes nowhere from here on
        stream.removeAllListeners('data').resume();
        onError(error);
      }
    });
    stream.once('error', onError);
    stream.once('close', () => this.#close());
  }

  #write(chunk: Buffer): void {
    if (this.#sizeBytes > 0 && this.#sizeBytes + chunk.length > this.#limitBytes) {
      this.#close();
      renameSync(this.#file, `${this.#file}.1`);
    }
    if (this.#descriptor === undefined) {
      this.#descriptor = openSync(this.#file, 'w', 0o600);
      this.#sizeBytes = 0;
    }
    writeSync(this.#descriptor, chunk);
    this.#sizeBytes += chunk.length;
  }

  #close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
