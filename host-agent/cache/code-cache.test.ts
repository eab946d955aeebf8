import { existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CodeReference, PodUid } from '@warmpool/protocol/fields.ts';
import { codeSchema, podUidSchema } from '@warmpool/protocol/fields.ts';
import type { BlobStore, OpenedBlob } from '../blob/blob-store.ts';
import { Downloader } from '../blob/downloader.ts';
import { DEFAULT_FETCH_BUDGET, FetchBudget } from '../blob/fetch-budget.ts';
import { BlobSources } from '../blob/blob-sources.ts';
import { systemClock } from '../clock.ts';
import { DEFAULT_UNPACK_LIMITS } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';
import { tarOf } from '../testing/tar-builder.ts';
import { digestOf } from '../testing/unpacking.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import { CacheFolder } from './cache-folder.ts';
import { CodeCache } from './code-cache.ts';

const PAGE = 4096;
let folder: string;
let unpacker: Unpacker;
let store: MemoryStore;
let happened: string[];
const never = new AbortController().signal;

class MemoryStore implements BlobStore {
  readonly objects = new Map<string, Buffer>();
  /** Waited for before the first byte. */
  gate: Promise<void> = Promise.resolve();
  opened = 0;
  breaksOff = 0;

  open(key: string, { signal }: { signal: AbortSignal }): Promise<OpenedBlob> {
    this.opened++;
    const bytes = this.objects.get(key);
    if (bytes === undefined) return Promise.reject(hostError.objectNotFound(key));
    return Promise.resolve({ stream: this.#read(bytes, signal) });
  }

  async *#read(bytes: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
    const aborted = new Promise<never>((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
    );
    aborted.catch(() => {});
    await Promise.race([this.gate, aborted]);
    yield bytes.subarray(0, 700);
    if (this.breaksOff-- > 0) throw hostError.storeUnreachable('memory', 'the transfer broke off');
    yield bytes.subarray(700);
  }
}

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-cache-')));
  unpacker = new Unpacker();
  store = new MemoryStore();
  happened = [];
});
afterEach(async () => {
  await unpacker.close();
  rmSync(folder, { recursive: true, force: true });
});

const budget = new FetchBudget(systemClock, DEFAULT_FETCH_BUDGET);
const downloader = new Downloader({ clock: systemClock, random: Math.random, budget });

async function aCache(limitBytes = 100 * PAGE): Promise<CodeCache> {
  const none: BlobStore = { open: () => Promise.reject(new Error('not used')) };
  return CodeCache.open(
    {
      folder: await CacheFolder.open(folder),
      sources: new BlobSources({ downloader, defaultStore: store, http: none, file: none, buckets: new Map() }),
      unpacker,
      clock: systemClock,
      onCached: (digest) => happened.push(`cached ${digest}`),
      onEvicted: (digest) => happened.push(`evicted ${digest}`),
      onFetched: () => {},
      onProblem: (error) => happened.push(String(error)),
    },
    { limitBytes, fetchConcurrency: 2, unpackLimits: DEFAULT_UNPACK_LIMITS },
  );
}

function stored(key: string, sizeBytes = 10): CodeReference {
  const bytes = tarOf([{ name: 'index.js', body: key.repeat(Math.ceil(sizeBytes / key.length)).slice(0, sizeBytes) }]);
  store.objects.set(key, bytes);
  return codeSchema.parse({ key, digest: digestOf(bytes), format: 'tar' });
}

const pod = (name: string): PodUid => podUidSchema.parse(name);
const wish = (podUid: string, signal = never) => ({ podUid: pod(podUid), deadlineUnixMs: Date.now() + 10_000, signal });
const leftovers = (): string[] => readdirSync(join(folder, 'tmp'));

describe('the code cache', () => {
  test('fetches once for all who ask, then answers from its memory', async () => {
    const cache = await aCache();
    const code = stored('a');
    const [first] = await Promise.all(['p1', 'p2', 'p3'].map((name) => cache.fetch(code, wish(name))));
    expect(store.opened).toBe(1);
    expect(readFileSync(join(first?.treePath ?? '', 'index.js'), 'utf8')).toBe('aaaaaaaaaa');
    expect(cache.take(code, pod('p4'))).toBe(first?.treePath);
    expect(cache.describe().entries).toMatchObject([{ digest: code.digest, inUse: 4 }]);
    expect(happened).toEqual([`cached ${code.digest}`]);
  });

  test('keeps a fetch going while anybody waits, and stops it when nobody does', async () => {
    const cache = await aCache();
    const code = stored('a');
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const [one, two] = [new AbortController(), new AbortController()];
    const first = cache.fetch(code, wish('p1', one.signal));
    const second = cache.fetch(code, wish('p2', two.signal));
    one.abort(hostError.clientGone());
    await expect(first).rejects.toMatchObject({ code: 'DeadlineExceeded' });
    gate.resolve();
    await second;
    expect(cache.describe().entries).toMatchObject([{ inUse: 1 }]);

    const other = stored('b');
    store.gate = new Promise(() => {});
    const alone = new AbortController();
    const third = cache.fetch(other, wish('p3', alone.signal));
    await expect.poll(() => store.opened).toBe(2);
    alone.abort(hostError.clientGone());
    await expect(third).rejects.toMatchObject({ code: 'DeadlineExceeded' });
    await expect.poll(leftovers).toEqual([]);
    expect(cache.take(other, pod('p3'))).toBeUndefined();
  });

  test('evicts what was not used for longest, never what a pod uses', async () => {
    // an entry is its root folder and one file: two pages
    const cache = await aCache(4 * PAGE);
    const [a, b, c] = [stored('a'), stored('b'), stored('c')];
    await cache.fetch(a, wish('p1'));
    await cache.fetch(b, wish('p2'));
    await expect(cache.fetch(c, wish('p3'))).rejects.toMatchObject({ code: 'CacheFull' });
    cache.release(pod('p1'));
    const { treePath } = await cache.fetch(c, wish('p3'));
    expect(cache.take(a, pod('p4'))).toBeUndefined();
    expect(cache.take(b, pod('p4'))).toBeDefined();
    expect(existsSync(treePath)).toBe(true);
    expect(happened.filter((line) => line.startsWith('evicted'))).toEqual([`evicted ${a.digest}`]);
    await expect.poll(leftovers).toEqual([]);
    expect(readdirSync(join(folder, 'sha256'))).toHaveLength(2);
  });

  test('survives a restart: entries, the order of their use, and what pods have pinned', async () => {
    const first = await aCache();
    const [a, b, c] = [stored('a'), stored('b'), stored('c')];
    const trees = [];
    for (const code of [a, b, c]) trees.push((await first.fetch(code, wish('p1'))).treePath);
    const second = await aCache(4 * PAGE);
    expect(second.digests()).toHaveLength(3);
    second.adoptPin(trees[0] ?? '', pod('p1'));
    second.adoptPin('/somewhere/else/tree', pod('p2'));
    second.trim();
    expect(second.digests()).toContain(a.digest);
    expect(second.usedBytes).toBeLessThanOrEqual(4 * PAGE);
    expect(store.opened).toBe(3);
  });

  test('tries a transfer that broke off once more, and then says StoreUnreachable', async () => {
    const cache = await aCache();
    const code = stored('a', 2000);
    store.breaksOff = 1;
    await cache.fetch(code, wish('p1'));
    expect(store.opened).toBe(2);
    const other = stored('b', 2000);
    store.breaksOff = 2;
    await expect(cache.fetch(other, wish('p2'))).rejects.toMatchObject({ code: 'StoreUnreachable' });
    expect(leftovers()).toEqual([]);
  });

  test('does not give the tree of one format to a claim of another, though the bytes are the same', async () => {
    const cache = await aCache();
    const code = stored('a');
    await cache.fetch(code, wish('p1'));
    const asFile = codeSchema.parse({ ...code, format: 'file', fileName: 'index.js' });
    expect(cache.take(asFile, pod('p2'))).toBeUndefined();
    const { treePath } = await cache.fetch(asFile, wish('p2'));
    expect(readFileSync(join(treePath, 'index.js'))).toEqual(store.objects.get('a'));
  });
});
