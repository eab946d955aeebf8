import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32, inflateRawSync } from 'node:zlib';
import type { Entry, ZipFile } from 'yauzl';
import { fromFd } from 'yauzl';
import { parseEntryPath } from '../core/entry-path.ts';
import { decodeName } from '../core/tar-header.ts';
import type { TreeSink } from '../core/tree-sink.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { RATIO_FREE_BYTES } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';

const LOCAL_HEADER_BYTES = 30;
const LOCAL_HEADER_SIGNATURE = 0x04034b50;
/** Above this an entry is streamed; below, one synchronous call is ten times faster than a stream. */
const WHOLE_ENTRY_BYTES = 8 * 1024 * 1024;
const STORED = 0;
const DEFLATED = 8;
const HOST_UNIX = 3;

/** Reads a zip file by its central directory (yauzl), and the entries' bytes directly. Never trusts a size it has not seen come true. */
export async function unzip(archivePath: string, sink: TreeSink, limits: UnpackLimits): Promise<void> {
  const fd = openSync(archivePath, 'r');
  try {
    const archiveBytes = fstatSync(fd).size;
    const zip = await openZip(fd);
    if (zip.entryCount > limits.maxEntries) {
      throw hostError.archiveTooLarge(`has ${zip.entryCount} entries; at most ${limits.maxEntries} are allowed`);
    }
    let unpackedBytes = 0;
    for (let entry = await nextEntry(zip); entry !== undefined; entry = await nextEntry(zip)) {
      unpackedBytes += entry.uncompressedSize;
      if (unpackedBytes > RATIO_FREE_BYTES && unpackedBytes > limits.maxRatio * archiveBytes) {
        throw hostError.archiveTooLarge(`unpacks to more than ${limits.maxRatio} times its size`);
      }
      await writeEntry(fd, zip, entry, sink, limits);
    }
  } finally {
    closeSync(fd);
  }
}

async function writeEntry(fd: number, zip: ZipFile, entry: Entry, sink: TreeSink, limits: UnpackLimits): Promise<void> {
  const name = entry.fileName;
  const path = parseEntryPath(name, limits);
  const mode = entry.versionMadeBy >> 8 === HOST_UNIX ? entry.externalFileAttributes >>> 16 : 0;
  const kind = kindOf(name, mode);
  if (entry.isEncrypted()) throw hostError.badEntry(name, 'is encrypted');
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
    throw hostError.badEntry(name, `is compressed by the unsupported method ${entry.compressionMethod}`);
  }
  if (kind === 'folder') {
    if (entry.uncompressedSize !== 0) throw hostError.badEntry(name, 'has contents although it is a folder');
    return sink.directory(path);
  }
  if (path.length === 0) throw hostError.badEntry(name, 'takes the place of the archive itself');
  if (kind === 'link') {
    if (entry.uncompressedSize > limits.maxPathBytes) throw hostError.badEntry(name, 'is a link to too long a path');
    return sink.symlink(path, decodeName(readWhole(fd, entry)));
  }
  sink.beginFile(path, entry.uncompressedSize, (mode & 0o111) !== 0);
  if (Math.max(entry.compressedSize, entry.uncompressedSize) <= WHOLE_ENTRY_BYTES) sink.write(readWhole(fd, entry));
  else await writeStreamed(zip, entry, sink);
  sink.endFile();
}

function kindOf(name: string, mode: number): 'file' | 'folder' | 'link' {
  const type = mode & 0o170000;
  if (name.endsWith('/') || type === 0o040000) return 'folder';
  if (type === 0o120000) return 'link';
  if (type === 0o020000 || type === 0o060000) throw hostError.badEntry(name, 'is a device');
  if (type === 0o010000) throw hostError.badEntry(name, 'is a FIFO');
  if (type === 0o140000) throw hostError.badEntry(name, 'is a socket');
  return 'file';
}

function readWhole(fd: number, entry: Entry): Buffer {
  const header = readAt(fd, entry, entry.relativeOffsetOfLocalHeader, LOCAL_HEADER_BYTES);
  if (header.readUInt32LE(0) !== LOCAL_HEADER_SIGNATURE)
    throw hostError.badEntry(entry.fileName, 'has no local header');
  const start =
    entry.relativeOffsetOfLocalHeader + LOCAL_HEADER_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  const packed = readAt(fd, entry, start, entry.compressedSize);
  const bytes = entry.compressionMethod === STORED ? packed : inflateEntry(entry, packed);
  if (bytes.length !== entry.uncompressedSize) {
    throw hostError.badEntry(entry.fileName, 'has another size than its header says');
  }
  checkCrc(entry, crc32(bytes));
  return bytes;
}

function inflateEntry(entry: Entry, packed: Buffer): Buffer {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.uncompressedSize) });
  } catch (error) {
    const isLarger = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw hostError.badEntry(entry.fileName, isLarger ? 'is larger than its header says' : 'is damaged');
  }
}

async function writeStreamed(zip: ZipFile, entry: Entry, sink: TreeSink): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<NodeJS.ReadableStream>();
  zip.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(stream)));
  let crc = 0;
  try {
    for await (const chunk of (await promise) as AsyncIterable<Buffer>) {
      crc = crc32(chunk, crc);
      sink.write(chunk);
    }
  } catch (error) {
    throw isHostError(error) || isSystemError(error) ? error : damaged(error, entry.fileName);
  }
  checkCrc(entry, crc);
}

function checkCrc(entry: Entry, actual: number): void {
  if (entry.crc32 !== actual) throw hostError.badEntry(entry.fileName, 'is damaged: its checksum is wrong');
}

function readAt(fd: number, entry: Entry, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  for (let read = 0; read < length;) {
    const count = readSync(fd, buffer, read, length - read, position + read);
    if (count === 0)
      throw hostError.badEntry(entry.fileName, 'lies outside of the archive: it is truncated or damaged');
    read += count;
  }
  return buffer;
}

function openZip(fd: number): Promise<ZipFile> {
  const { promise, resolve, reject } = Promise.withResolvers<ZipFile>();
  fromFd(fd, { lazyEntries: true, autoClose: false }, (error, zip) => {
    if (error)
      reject(
        isSystemError(error)
          ? error
          : hostError.badArchive(`is damaged or not a zip archive (${error.message})`, error),
      );
    else resolve(zip);
  });
  return promise;
}

function nextEntry(zip: ZipFile): Promise<Entry | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<Entry | undefined>();
  const onEntry = (entry: Entry): void => settle(() => resolve(entry));
  const onEnd = (): void => settle(() => resolve(undefined));
  const onError = (error: Error): void => settle(() => reject(isSystemError(error) ? error : damaged(error)));
  const settle = (act: () => void): void => {
    zip.off('entry', onEntry).off('end', onEnd).off('error', onError);
    act();
  };
  zip.on('entry', onEntry).on('end', onEnd).on('error', onError);
  zip.readEntry();
  return promise;
}

/** yauzl's own words name the entry where it refuses one (`absolute path: …`, `invalid relative path: …`). */
function damaged(error: unknown, entry?: string): Error {
  const { message } = error as Error;
  return entry === undefined
    ? hostError.badArchive(`cannot be read (${message})`, error)
    : hostError.badEntry(entry, `cannot be read (${message})`);
}

function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).errno === 'number' && 'syscall' in (error as object);
}
