import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { BlobStore, OpenedBlob } from '@warmpool/host-agent/blob/blob-store.ts';

export interface StoreUnderTest {
  store: BlobStore;
  /** Puts an object there, by whatever way the store is filled; returns what `open` calls it. */
  put: (key: string, bytes: Buffer) => Promise<string>;
  /** What `open` would call an object that is not there. */
  absent: (key: string) => string;
}

/** What every BlobStore keeps, whatever is behind it. */
export function blobStoreContract(name: string, subject: () => StoreUnderTest | undefined): void {
  const { signal } = new AbortController();

  describe(`${name} as a BlobStore`, () => {
    for (const [what, sizeBytes] of [
      ['an empty object', 0],
      ['a small object', 1_000],
      ['an object of many chunks', 5_000_000],
    ] as const) {
      test(`gives back ${what} byte for byte, with its size`, async (context) => {
        const { store, put } = subject() ?? context.skip();
        const bytes = randomBytes(sizeBytes);
        const blob = await store.open(await put(`some/${sizeBytes}.bin`, bytes), { signal });
        expect(blob.sizeBytes ?? sizeBytes).toBe(sizeBytes);
        expect((await readAll(blob)).equals(bytes)).toBe(true);
      });
    }

    test('finds an object whose key has unusual characters', async (context) => {
      const { store, put } = subject() ?? context.skip();
      const key = "folder/ä+%41(!*'),=@.tar";
      expect((await readAll(await store.open(await put(key, Buffer.from('odd')), { signal }))).toString()).toBe('odd');
    });

    test('says ObjectNotFound, and which, when there is none', async (context) => {
      const { store, absent } = subject() ?? context.skip();
      await expect(store.open(absent('nowhere/absent.tar'), { signal })).rejects.toMatchObject({
        code: 'ObjectNotFound',
        message: expect.stringContaining('nowhere/absent.tar') as string,
      });
    });

    test('rejects with the reason of a signal that was aborted before', async (context) => {
      const { store, put } = subject() ?? context.skip();
      const source = await put('aborted-before', Buffer.from('x'));
      const reason = new Error('given up');
      await expect(store.open(source, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });

    test('ends its stream with the reason of a signal that aborts in the middle', async (context) => {
      const { store, put } = subject() ?? context.skip();
      const source = await put('aborted-later', randomBytes(30_000_000));
      const reason = new Error('given up');
      const controller = new AbortController();
      const { stream } = await store.open(source, { signal: controller.signal });
      const reading = (async () => {
        for await (const chunk of stream) if (chunk.length > 0) controller.abort(reason);
      })();
      await expect(reading).rejects.toBe(reason);
    });

    test('can be broken off and asked again, many times', async (context) => {
      const { store, put } = subject() ?? context.skip();
      const bytes = randomBytes(1_000_000);
      const source = await put('broken-off', bytes);
      for (let round = 0; round < 40; round++) {
        const { stream } = await store.open(source, { signal });
        for await (const chunk of stream) if (chunk.length > 0) break;
      }
      expect((await readAll(await store.open(source, { signal }))).equals(bytes)).toBe(true);
    });
  });
}

async function readAll({ stream }: OpenedBlob): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(new Uint8Array(chunk));
  return Buffer.concat(chunks);
}
