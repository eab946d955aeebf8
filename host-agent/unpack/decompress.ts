import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { RATIO_FREE_BYTES } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import type { HashedSource } from './chunk-source.ts';
import { chunksOf } from './chunk-source.ts';

/** With the default of 16 KiB both decompressors run at a third of this speed. */
const CHUNK_BYTES = 1024 * 1024;
/** Tar headers are not file contents: room for them beside `maxUnpackedBytes`. */
const HEADER_BYTES_PER_ENTRY = 4096;

export async function* decompress(
  format: 'tar' | 'tar.gz' | 'tar.zst',
  source: HashedSource,
  limits: UnpackLimits,
): AsyncGenerator<Buffer, void, undefined> {
  if (format === 'tar') {
    yield* chunksOf(source);
    return;
  }
  const codec =
    format === 'tar.gz' ? createGunzip({ chunkSize: CHUNK_BYTES }) : createZstdDecompress({ chunkSize: CHUNK_BYTES });
  const limitBytes = limits.maxUnpackedBytes + limits.maxEntries * HEADER_BYTES_PER_ENTRY;
  let unpackedBytes = 0;
  const feeding = pipeline(Readable.from(chunksOf(source), { objectMode: false, highWaterMark: CHUNK_BYTES }), codec);
  // the reader below sees the same failure; this one only must not go unhandled
  feeding.catch(() => {});
  try {
    for await (const chunk of codec as AsyncIterable<Buffer>) {
      unpackedBytes += chunk.length;
      if (unpackedBytes > limitBytes) throw hostError.archiveTooLarge(`unpacks to more than ${limitBytes} bytes`);
      if (unpackedBytes > RATIO_FREE_BYTES && unpackedBytes > limits.maxRatio * source.readBytes) {
        throw hostError.archiveTooLarge(`unpacks to more than ${limits.maxRatio} times its size`);
      }
      yield chunk;
    }
    await feeding;
  } catch (error) {
    throw isHostError(error) ? error : translate(error, format);
  }
  if (codec.bytesWritten < source.readBytes)
    throw hostError.badArchive(`has data after the end of its ${format} stream`);
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
