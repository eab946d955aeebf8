import type { Entry, ZipFile } from 'yauzl';
import { fromRandomAccessReader, RandomAccessReader } from 'yauzl';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';

/** What of an archive can be read at any place. */
export interface ZipBytes {
  archiveBytes: number;
  /** Returns the number of bytes read; throws {@link TailTooShort} for what is not there yet. */
  readAt(buffer: Buffer, offset: number, length: number, position: number): number;
}

/** The directory begins before what is at hand. */
export class TailTooShort extends Error {}

/** Reads the directory of a zip file (yauzl), which is at its end; entries in the order of their data. */
export async function readZipDirectory(bytes: ZipBytes, limits: UnpackLimits): Promise<Entry[]> {
  const zip = await openZip(new DirectoryReader(bytes), bytes.archiveBytes);
  if (zip.entryCount > limits.maxEntries) {
    throw hostError.archiveTooLarge(`has ${zip.entryCount} entries; at most ${limits.maxEntries} are allowed`);
  }
  const entries: Entry[] = [];
  for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) entries.push(entry);
  return entries.sort((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
}

/** The last bytes of an archive. */
export interface ZipTail {
  startByte: number;
  bytes: Uint8Array;
}

export function bytesOfTail({ startByte, bytes }: ZipTail): ZipBytes {
  return {
    archiveBytes: startByte + bytes.length,
    readAt(buffer, offset, length, position) {
      if (position < startByte) throw new TailTooShort();
      const found = bytes.subarray(position - startByte, position - startByte + length);
      buffer.set(found, offset);
      return found.length;
    },
  };
}

class DirectoryReader extends RandomAccessReader {
  readonly #bytes: ZipBytes;

  constructor(bytes: ZipBytes) {
    super();
    this.#bytes = bytes;
  }

  /** The only way of reading that directories need. */
  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    let error: Error | null = null;
    try {
      if (this.#bytes.readAt(buffer, offset, length, position) < length) error = new Error('unexpected EOF');
    } catch (thrown) {
      error = thrown as Error;
    }
    callback(error);
  }
}

function openZip(reader: RandomAccessReader, archiveBytes: number): Promise<ZipFile> {
  const { promise, resolve, reject } = Promise.withResolvers<ZipFile>();
  fromRandomAccessReader(reader, archiveBytes, { lazyEntries: true, autoClose: false }, (error, zip) => {
    if (error instanceof TailTooShort || isSystemError(error)) reject(error);
    else if (error) reject(hostError.badArchive(`is damaged or not a zip archive (${error.message})`, error));
    else resolve(zip);
  });
  return promise;
}

function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Entry | undefined>();
  const onEntry = (entry: Entry): void => settle(() => resolve(entry));
  const onEnd = (): void => settle(() => resolve(undefined));
  const onError = (error: Error): void => settle(() => reject(damaged(error)));
  const settle = (act: () => void): void => {
    zip.off('entry', onEntry).off('end', onEnd).off('error', onError);
    act();
  };
  zip.on('entry', onEntry).on('end', onEnd).on('error', onError);
  zip.readEntry();
  return promise;
}

/** yauzl's own words name the entry where it refuses one (`absolute path: …`, `invalid relative path: …`). */
function damaged(error: Error): Error {
  if (error instanceof TailTooShort || isSystemError(error)) return error;
  return hostError.badArchive(`cannot be read (${error.message})`, error);
}

function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
}
