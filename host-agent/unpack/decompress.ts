import { createGunzip, createZstdDecompress } from 'node:zlib';
import { releaseChunk } from '../core/release.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { RATIO_FREE_BYTES } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import type { HashedSource } from './chunk-source.ts';
import { chunksOf } from './chunk-source.ts';
import type { CodecRest } from './codec-stream.ts';
import { CODEC_OPTIONS, throughCodec } from './codec-stream.ts';

/** Tar headers are not file contents: room for them beside `maxUnpackedBytes`. */
const HEADER_BYTES_PER_ENTRY = 4096;
/** A decoder is made for each zstd frame, however little is in it: so many are free, and then one for so many bytes. */
const FREE_FRAMES = 64;
const BYTES_PER_FRAME = 64 * 1024;

type TarFormat = 'tar' | 'tar.gz' | 'tar.zst';

/** A chunk is its reader's until the next one is asked for. */
export async function* decompress(
  format: TarFormat,
  source: HashedSource,
  limits: UnpackLimits,
): AsyncGenerator<Buffer, void, undefined> {
  const limitBytes = limits.maxUnpackedBytes + limits.maxEntries * HEADER_BYTES_PER_ENTRY;
  let unpackedBytes = 0;
  try {
    for await (const chunk of readers[format](source)) {
      unpackedBytes += chunk.length;
      if (unpackedBytes > limitBytes) throw hostError.archiveTooLarge(`unpacks to more than ${limitBytes} bytes`);
      if (unpackedBytes > RATIO_FREE_BYTES && unpackedBytes > limits.maxRatio * source.readBytes) {
        throw hostError.archiveTooLarge(`unpacks to more than ${limits.maxRatio} times its size`);
      }
      yield chunk;
    }
  } catch (error) {
    throw isHostError(error) ? error : translate(error, format);
  }
}

const readers: Record<TarFormat, (source: HashedSource) => AsyncGenerator<Buffer, void, undefined>> = {
  tar: plain,
  'tar.gz': gunzip,
  'tar.zst': unzstd,
};

async function* plain(source: HashedSource): AsyncGenerator<Buffer, void, undefined> {
  for await (const chunk of chunksOf(source)) {
    yield chunk;
    releaseChunk(chunk);
  }
}

/** Node reads the members of a gzip file one after the other by itself. */
async function* gunzip(source: HashedSource): AsyncGenerator<Buffer, void, undefined> {
  const codec = createGunzip(CODEC_OPTIONS);
  yield* throughCodec(codec, chunksOf(source));
  if (codec.bytesWritten < source.readBytes) throw hostError.badArchive('has data after the end of its tar.gz stream');
}

/** An archive may be of several frames (pzstd, `cat`): Node's decoder ends with the first. */
async function* unzstd(source: HashedSource): AsyncGenerator<Buffer, void, undefined> {
  let rest: CodecRest = {};
  for (let frame = 1; frame === 1 || rest.bytes !== undefined; frame++) {
    if (frame > FREE_FRAMES + source.readBytes / BYTES_PER_FRAME) {
      throw hostError.badArchive(`has more than ${FREE_FRAMES} zstd frames of less than ${BYTES_PER_FRAME} bytes`);
    }
    const input = chunksAfter(rest.bytes, source);
    rest = {};
    try {
      yield* throughCodec(createZstdDecompress(CODEC_OPTIONS), input, { rest });
    } catch (error) {
      const isOther = frame > 1 && (error as NodeJS.ErrnoException).code === 'ZSTD_error_prefix_unknown';
      throw isOther ? hostError.badArchive('has data after the end of its tar.zst stream', error) : error;
    }
  }
}

async function* chunksAfter(first: Buffer | undefined, source: HashedSource): AsyncGenerator<Buffer, void, undefined> {
  if (first !== undefined) yield first;
  yield* chunksOf(source);
}

function translate(error: unknown, format: string): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR' || code === 'ZSTD_error_srcSize_wrong') {
    return hostError.badArchive('is truncated: its compressed stream has no end', error);
  }
  if (code.startsWith('Z_') || code.startsWith('ZSTD_') || code === 'ERR_TRAILING_JUNK_AFTER_STREAM_END') {
    return hostError.badArchive(`is damaged or not a ${format} archive (${message})`, error);
  }
  return error;
}
