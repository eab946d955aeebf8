import type { FileHandle } from 'node:fs/promises';
import { open, rename } from 'node:fs/promises';

/** A file that is written once from front to back, and read by others meanwhile. */
export class GrowingFile {
  /** Known when the source said it. */
  readonly sizeBytes: number | undefined;
  #path: string;
  #moved: Promise<void> = Promise.resolve();
  readonly #handle: FileHandle;
  readonly #waiting = new Set<() => void>();
  #writtenBytes = 0;
  #state: 'growing' | 'whole' | 'broken' = 'growing';

  private constructor(path: string, handle: FileHandle, sizeBytes: number | undefined) {
    this.#path = path;
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  static async create(path: string, sizeBytes: number | undefined): Promise<GrowingFile> {
    return new GrowingFile(path, await open(path, 'wx', 0o600), sizeBytes);
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  get state(): 'growing' | 'whole' | 'broken' {
    return this.#state;
  }

  /** Resolves when the chunk's memory may be given away. */
  async append(chunk: Uint8Array): Promise<void> {
    for (let offset = 0; offset < chunk.length;) {
      const position = this.#writtenBytes + offset;
      const { bytesWritten } = await this.#handle.write(chunk, offset, chunk.length - offset, position);
      offset += bytesWritten;
    }
    this.#writtenBytes += chunk.length;
    this.#wake();
  }

  /** No more bytes come: these are all, or they are worth nothing. Readers that have not read all of a broken one fail. */
  async end(state: 'whole' | 'broken'): Promise<void> {
    if (this.#state !== 'growing') return;
    this.#state = state;
    this.#wake();
    await this.#handle.close();
  }

  async moveTo(path: string): Promise<void> {
    this.#moved = rename(this.#path, path).then(() => {
      this.#path = path;
    });
    await this.#moved;
  }

  /** Also while it is being moved, and after. */
  async reader(): Promise<FileHandle> {
    const path = this.#path;
    try {
      return await open(path, 'r');
    } catch (error) {
      await this.#moved;
      if (this.#path === path) throw error;
      return open(this.#path, 'r');
    }
  }

  /** Resolves when there is something behind `offset`, or when nothing will come any more. */
  async beyond(offset: number, signal: AbortSignal): Promise<void> {
    while (this.#state === 'growing' && this.#writtenBytes <= offset && !signal.aborted) {
      const news = Promise.withResolvers<void>();
      this.#waiting.add(news.resolve);
      signal.addEventListener('abort', () => news.resolve(), { once: true });
      await news.promise;
      this.#waiting.delete(news.resolve);
    }
    signal.throwIfAborted();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
  }
}
