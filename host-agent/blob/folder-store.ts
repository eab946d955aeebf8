import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob } from './blob-store.ts';
import { openLocalFile } from './local-file.ts';

/** Objects are files below one folder, keys their relative paths: the embedded default store. */
export class FolderStore implements BlobStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(key: string, { signal }: { signal: AbortSignal }): Promise<OpenedBlob> {
    const root = await realpath(this.#folder).catch((error: unknown) => {
      throw hostError.storeUnreachable(`folder ${this.#folder}`, 'it does not exist or cannot be read', error);
    });
    return openLocalFile(join(root, key), [root], `object ${JSON.stringify(key)} of the folder store`, signal);
  }
}
