import { get } from 'node:http';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import { runUnpackJob } from '@warmpool/host-agent/unpack/unpack-job.ts';
import { DEFAULT_UNPACK_LIMITS } from '@warmpool/host-agent/core/unpack-limits.ts';
import type { Format } from './artefacts.ts';

const CHUNK_BYTES = 1024 * 1024;

/** The plain way in Node, in a process that is warm: one GET into memory, then the same unpacker on the bytes. */
export interface PlainWish {
  url: string;
  format: Format;
  folder: string;
}

async function fetchAndUnpack({ url, format, folder }: PlainWish): Promise<void> {
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(Buffer.concat(chunks))).on('error', reject);
    }).on('error', reject);
  });
  const digest = digestOf(bytes);
  // a chunk that is all there is belongs to its reader, who gives it back
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) chunks.push(bytes.subarray(at, at + CHUNK_BYTES));
  const source = { next: (): Promise<Buffer | undefined> => Promise.resolve(chunks.shift()) };
  const limits = { ...DEFAULT_UNPACK_LIMITS, maxArchiveBytes: 2 ** 31, maxUnpackedBytes: 2 ** 31 };
  await runUnpackJob({ folder, format, fileName: '', digest, limits }, source);
}

process.on('message', (wish: PlainWish) => {
  fetchAndUnpack(wish).then(
    () => process.send?.({ ok: true }),
    (error: unknown) => process.send?.({ ok: false, error: String(error) }),
  );
});
process.once('disconnect', () => process.exit(0));
