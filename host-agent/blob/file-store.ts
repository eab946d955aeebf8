import { realpath } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { publicUrl } from '../core/public-url.ts';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob } from './blob-store.ts';
import { openLocalFile } from './local-file.ts';

/** `file://` URLs below the roots that the person who runs this node has allowed; without a root, none. */
export class FileStore implements BlobStore {
  readonly #roots: readonly string[];

  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  async open(source: string, { signal }: { signal: AbortSignal }): Promise<OpenedBlob> {
    const url = new URL(source);
    const shown = publicUrl(url);
    if (this.#roots.length === 0) throw hostError.sourceNotAllowed(shown, 'this host-agent reads no file:// URLs');
    if (url.host !== '') throw hostError.sourceNotAllowed(shown, 'a file:// URL must not name a host');
    let path: string;
    try {
      path = fileURLToPath(url);
    } catch {
      throw hostError.sourceNotAllowed(shown, 'it is not a path on this machine');
    }
    if (path.includes('\0')) throw hostError.sourceNotAllowed(shown, 'it has a NUL character in its path');
    const roots = await Promise.all(this.#roots.map((root) => realpath(root).catch(() => root)));
    return openLocalFile(path, roots, shown, signal);
  }
}
