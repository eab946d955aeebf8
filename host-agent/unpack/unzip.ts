import { crc32, createInflateRaw, inflateRawSync } from 'node:zlib';
import type { Entry } from 'yauzl';
import { parseEntryPath } from '../core/entry-path.ts';
import { release } from '../core/release.ts';
import { decodeName } from '../core/tar-header.ts';
import type { TreeSink } from '../core/tree-sink.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { RATIO_FREE_BYTES } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import type { ByteReader } from './byte-reader.ts';
import { CODEC_OPTIONS, throughCodec } from './codec-stream.ts';

const LOCAL_HEADER_BYTES = 30;
const LOCAL_HEADER_SIGNATURE = 0x04034b50;
/** Above this an entry is streamed; below, one synchronous call is ten times faster than a stream. */
const WHOLE_ENTRY_BYTES = 8 * 1024 * 1024;
/** What the types of yauzl leave out: the name's bytes. */
type NamedEntry = Entry & { fileNameRaw: Buffer };

const NAME_IS_UTF8 = 0x800;
const STORED = 0;
const DEFLATED = 8;
const HOST_DOS = 0;
const HOST_UNIX = 3;
const DOS_FOLDER = 0x10;
const UNIX_FOLDER = 0o040000;

/**
 * Writes the entries of a zip file while it arrives: `entries` is its directory, which came before, in the order of the data. Never
 * trusts a size it has not seen come true. Entries that share bytes, as those of a zip bomb do, are refused.
 */
export async function unzip(
  entries: readonly Entry[],
  archiveBytes: number,
  reader: ByteReader,
  sink: TreeSink,
  limits: UnpackLimits,
): Promise<void> {
  let unpackedBytes = 0;
  for (const entry of entries) {
    unpackedBytes += entry.uncompressedSize;
    if (unpackedBytes > RATIO_FREE_BYTES && unpackedBytes > limits.maxRatio * archiveBytes) {
      throw hostError.archiveTooLarge(`unpacks to more than ${limits.maxRatio} times its size`);
    }
    await writeEntry(entry, reader, sink, limits);
  }
}

async function writeEntry(entry: Entry, reader: ByteReader, sink: TreeSink, limits: UnpackLimits): Promise<void> {
  const name = entry.fileName;
  const path = parseEntryPath(name, limits);
  const mode = modeOf(entry);
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
  await skipToData(entry, reader);
  if (kind === 'link') {
    if (entry.uncompressedSize > limits.maxPathBytes) throw hostError.badEntry(name, 'is a link to too long a path');
    return sink.symlink(path, decodeName(await readWhole(entry, reader)));
  }
  sink.beginFile(path, entry.uncompressedSize, (mode & 0o111) !== 0);
  if (Math.max(entry.compressedSize, entry.uncompressedSize) <= WHOLE_ENTRY_BYTES) {
    const bytes = await readWhole(entry, reader);
    sink.write(bytes, entry.crc32);
    // what is stored is a view of what arrived, and the reader's
    if (entry.compressionMethod === DEFLATED) release(bytes);
  } else await writeStreamed(entry, reader, sink);
  sink.endFile();
}

/** A Unix mode with its type bits, as far as the entry has any. */
function modeOf({ versionMadeBy, externalFileAttributes }: Entry): number {
  const host = versionMadeBy >> 8;
  if (host === HOST_UNIX) return externalFileAttributes >>> 16;
  return host === HOST_DOS && (externalFileAttributes & DOS_FOLDER) !== 0 ? UNIX_FOLDER : 0;
}

function kindOf(name: string, mode: number): 'file' | 'folder' | 'link' {
  const type = mode & 0o170000;
  if (name.endsWith('/') || type === UNIX_FOLDER) return 'folder';
  if (type === 0o120000) return 'link';
  if (type === 0o020000 || type === 0o060000) throw hostError.badEntry(name, 'is a device');
  if (type === 0o010000) throw hostError.badEntry(name, 'is a FIFO');
  if (type === 0o140000) throw hostError.badEntry(name, 'is a socket');
  if (type !== 0 && type !== 0o100000) throw hostError.badEntry(name, `is of the unknown type ${type >> 12}`);
  return 'file';
}

async function skipToData(entry: Entry, reader: ByteReader): Promise<void> {
  const gap = entry.relativeOffsetOfLocalHeader - reader.position;
  if (gap < 0) throw hostError.badEntry(entry.fileName, 'shares its bytes with another entry');
  if (!(await reader.skip(gap))) throw outside(entry);
  const header = await reader.read(LOCAL_HEADER_BYTES);
  if (header.length < LOCAL_HEADER_BYTES) throw outside(entry);
  if (header.readUInt32LE(0) !== LOCAL_HEADER_SIGNATURE) {
    throw hostError.badEntry(entry.fileName, 'has no local header');
  }
  const isOtherCode = ((header.readUInt16LE(6) ^ entry.generalPurposeBitFlag) & NAME_IS_UTF8) !== 0;
  const extraBytes = header.readUInt16LE(28);
  const name = await reader.read(header.readUInt16LE(26));
  // a reader that goes by the headers would find another tree
  if (isOtherCode || !name.equals((entry as NamedEntry).fileNameRaw)) {
    throw hostError.badEntry(entry.fileName, 'has another name in its header than in the directory');
  }
  if (!(await reader.skip(extraBytes))) throw outside(entry);
}

async function readWhole(entry: Entry, reader: ByteReader): Promise<Buffer> {
  if (entry.compressedSize > WHOLE_ENTRY_BYTES) throw hostError.badEntry(entry.fileName, 'is larger than it may be');
  const packed = await reader.read(entry.compressedSize);
  if (packed.length < entry.compressedSize) throw outside(entry);
  const bytes = entry.compressionMethod === STORED ? packed : inflateEntry(entry, packed);
  if (bytes.length !== entry.uncompressedSize) {
    throw hostError.badEntry(entry.fileName, 'has another size than its header says');
  }
  checkCrc(entry, crc32(bytes));
  return bytes;
}

function inflateEntry(entry: Entry, packed: Buffer): Buffer {
  try {
    // one buffer of the right size, and one byte more so that the end is seen in the same call
    const chunkSize = Math.max(64, entry.uncompressedSize + 1);
    return inflateRawSync(packed, { chunkSize, maxOutputLength: Math.max(1, entry.uncompressedSize) });
  } catch (error) {
    const isLarger = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE';
    throw hostError.badEntry(entry.fileName, isLarger ? 'is larger than its header says' : 'is damaged');
  }
}

async function writeStreamed(entry: Entry, reader: ByteReader, sink: TreeSink): Promise<void> {
  const before = reader.position;
  const packed = reader.stream(entry.compressedSize);
  let crc = 0;
  try {
    for await (const chunk of entry.compressionMethod === STORED ? packed : inflated(packed)) {
      crc = crc32(chunk, crc);
      sink.write(chunk);
    }
  } catch (error) {
    // zlib's errors are the archive's, all others are the source's or the disk's
    const isDamage = !isHostError(error) && String((error as NodeJS.ErrnoException).code).startsWith('Z_');
    throw isDamage ? hostError.badEntry(entry.fileName, `is damaged (${(error as Error).message})`) : error;
  }
  if (reader.position - before !== entry.compressedSize) throw outside(entry);
  checkCrc(entry, crc);
}

function inflated(packed: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  return throughCodec(createInflateRaw(CODEC_OPTIONS), packed, { keepsInput: true });
}

function checkCrc(entry: Entry, actual: number): void {
  if (entry.crc32 !== actual) throw hostError.badEntry(entry.fileName, 'is damaged: its checksum is wrong');
}

function outside(entry: Entry): Error {
  return hostError.badEntry(entry.fileName, 'lies outside of the archive: it is truncated or damaged');
}
