import type { Gunzip, InflateRaw, ZstdDecompress } from 'node:zlib';
import { release, releaseChunk } from '../core/release.ts';

export type Codec = Gunzip | InflateRaw | ZstdDecompress;

/** With the default of 16 KiB the decompressors run at a third of this speed. */
const CHUNK_BYTES = 1024 * 1024;
/** For each codec: what it makes in the thread pool while the reader is busy with the chunk before. */
export const CODEC_OPTIONS = { chunkSize: CHUNK_BYTES, readableHighWaterMark: 2 * CHUNK_BYTES };

/** What a codec was given and did not take, since its stream ended before. */
export interface CodecRest {
  bytes?: Buffer;
}

/**
 * Yields what a codec makes of the chunks. Both sides' memory is given back as soon as it was used: a chunk that is yielded is gone when
 * the next one is asked for, and so are those of `chunks` once they are read, unless `keepsInput` says that they are somebody else's.
 */
export async function* throughCodec(
  codec: Codec,
  chunks: AsyncIterable<Buffer>,
  { rest = {}, keepsInput = false }: { rest?: CodecRest; keepsInput?: boolean } = {},
): AsyncGenerator<Buffer, void, undefined> {
  let current: Buffer | undefined;
  let takenBytes = 0;
  const feed = async (): Promise<void> => {
    for await (const chunk of chunks) {
      current = chunk;
      await written(codec, chunk);
      // its stream has ended
      if (codec.bytesWritten < takenBytes + chunk.length) return;
      current = undefined;
      takenBytes += chunk.length;
      if (!keepsInput) releaseChunk(chunk);
    }
    codec.end();
  };
  feed().catch((error: unknown) => codec.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    for await (const chunk of codec as AsyncIterable<Buffer>) {
      yield chunk;
      // filled to its end: the codec has gone on to another one
      if (chunk.byteOffset + chunk.length === chunk.buffer.byteLength) release(chunk);
    }
  } finally {
    codec.destroy();
  }
  const left = current?.subarray(codec.bytesWritten - takenBytes);
  if (left !== undefined && left.length > 0) rest.bytes = left;
}

function written(codec: Codec, chunk: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    codec.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
