import { constants } from 'node:fs';
import { open, realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { hostError } from '../errors.ts';
import type { OpenedBlob } from './blob-store.ts';

const CHUNK_BYTES = 1024 * 1024;

/**
 * Opens a regular file that lies, links resolved, below one of `roots` (themselves resolved). `shown` is what a person calls it.
 */
export async function openLocalFile(
  path: string,
  roots: readonly string[],
  shown: string,
  signal: AbortSignal,
): Promise<OpenedBlob> {
  signal.throwIfAborted();
  const resolved = await realpath(path).catch((error: unknown) => {
    throw translate(error, shown);
  });
  if (!roots.some((root) => resolved.startsWith(root.endsWith(sep) ? root : root + sep))) {
    throw hostError.sourceNotAllowed(shown, 'it lies outside of the folders that this host-agent may read');
  }
  // not blocking: opening a FIFO would wait for its writer
  const file = await open(resolved, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      throw translate(error, shown);
    },
  );
  const stats = await file.stat();
  if (!stats.isFile()) {
    await file.close();
    throw hostError.objectNotFound(`${shown} (not a regular file)`);
  }
  const stream = file.createReadStream({ highWaterMark: CHUNK_BYTES, signal });
  return { sizeBytes: stats.size, stream: readAll(stream, shown, signal) };
}

async function* readAll(
  stream: AsyncIterable<Uint8Array>,
  shown: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* stream;
  } catch (error) {
    throw signal.aborted ? signal.reason : translate(error, shown);
  }
}

function translate(error: unknown, shown: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return hostError.objectNotFound(shown);
  if (code === 'EACCES' || code === 'EPERM') return hostError.storeRefused(shown, 403);
  return hostError.storeUnreachable(shown, `reading fails with ${code ?? String(error)}`, error);
}
