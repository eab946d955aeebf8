import type { Entry, ZipFile } from 'yauzl';
import { fromRandomAccessReader, RandomAccessReader } from 'yauzl';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';

const END_RECORD = 0x06054b50;
const END_RECORD_BYTES = 22;
const SIGNATURE = 0x05054b50;
const ZIP64_END_RECORD = 0x06064b50;
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_MARK = 0xffffffff;
/** One of each. */
const MAX_END_RECORDS = 4;

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
  const reader = new DirectoryReader(bytes);
  const zip = await openZip(reader, bytes.archiveBytes);
  if (zip.entryCount > limits.maxEntries) {
    throw hostError.archiveTooLarge(`has ${zip.entryCount} entries; at most ${limits.maxEntries} are allowed`);
  }
  const entries: Entry[] = [];
  for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) entries.push(entry);
  if (entries.length > 0 && !isEndOf(bytes, reader.readToByte)) {
    throw hostError.badArchive('is damaged: its directory does not end where its end record says');
  }
  return entries.sort((a, b) => a.relativeOffsetOfLocalHeader - b.relativeOffsetOfLocalHeader);
}

/**
 * Whether nothing but what belongs there is between the directory's end and the archive's. With more, or with entries that the end record
 * does not count or has no room for, different programs find different things in it.
 */
function isEndOf(bytes: ZipBytes, entriesEndByte: number): boolean {
  const head = Buffer.alloc(END_RECORD_BYTES);
  let at = entriesEndByte;
  let directoryEndByte = at;
  for (let record = 0; record < MAX_END_RECORDS && at < bytes.archiveBytes; record++) {
    head.fill(0);
    bytes.readAt(head, 0, Math.min(head.length, bytes.archiveBytes - at), at);
    switch (head.readUInt32LE(0)) {
      case END_RECORD:
        return saysEnd(head, directoryEndByte) && at + END_RECORD_BYTES + head.readUInt16LE(20) === bytes.archiveBytes;
      case SIGNATURE:
        at += 6 + head.readUInt16LE(4);
        directoryEndByte = at;
        break;
      case ZIP64_END_RECORD:
        at += 12 + Number(head.readBigUInt64LE(4));
        break;
      case ZIP64_LOCATOR:
        at += 20;
        break;
      default:
        return false;
    }
  }
  return false;
}

/** A zip64 archive has them in another record. */
function saysEnd(endRecord: Buffer, directoryEndByte: number): boolean {
  const [lengthBytes, startByte] = [endRecord.readUInt32LE(12), endRecord.readUInt32LE(16)];
  return lengthBytes === ZIP64_MARK || startByte === ZIP64_MARK || startByte + lengthBytes === directoryEndByte;
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
  /** How far the last read went: entries are read one after the other. */
  readToByte = 0;
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
    this.readToByte = position + length;
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
  // eslint-disable-next-line no-control-regex
  return hostError.badArchive(`cannot be read (${error.message.replace(/[\0-\x1f\x7f]/g, '?')})`, error);
}

function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException | null)?.errno === 'number';
}
