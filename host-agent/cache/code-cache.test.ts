import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
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

const MIB = 1024 * 1024;
/** On disk: a root folder, one small file and the manifest, a page each. */
const ENTRY = 3 * 4096;
let folder: string;
let unpacker: Unpacker;
let store: MemoryStore;
let happened: string[];
let caches: CodeCache[];
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
  caches = [];
});
afterEach(async () => {
  for (const cache of caches) cache.close();
  await unpacker.close();
  rmSync(folder, { recursive: true, force: true });
});

const budget = new FetchBudget(systemClock, DEFAULT_FETCH_BUDGET);
const downloader = new Downloader({ clock: systemClock, random: Math.random, budget });

async function aCache(limitBytes = 100 * ENTRY, options: { sweepIdleMs?: number } = {}): Promise<CodeCache> {
  const none: BlobStore = { open: () => Promise.reject(new Error('not used')) };
  const cache = await CodeCache.open(
    {
      folder: await CacheFolder.open(folder),
      sources: new BlobSources({
        downloader,
        defaultStore: store,
        http: none,
        file: none,
        oci: none,
        buckets: new Map(),
        ofPools: { http: () => none, oci: () => none, s3: () => ({ store, origin: 'of a pool' }) },
      }),
      unpacker,
      clock: systemClock,
      onCached: (digest) => happened.push(`cached ${digest}`),
      onEvicted: (digest) => happened.push(`evicted ${digest}`),
      onFetched: () => {},
      onCorrupt: (digest) => happened.push(`corrupt ${digest}`),
      onProblem: (error) => happened.push(String(error)),
    },
    { limitBytes, fetchConcurrency: 2, unpackLimits: DEFAULT_UNPACK_LIMITS, ...options },
  );
  caches.push(cache);
  return cache;
}

function stored(key: string, sizeBytes = 10): CodeReference {
  const bytes = tarOf([{ name: 'index.js', body: key.repeat(Math.ceil(sizeBytes / key.length)).slice(0, sizeBytes) }]);
  store.objects.set(key, bytes);
  return codeSchema.parse({ key, digest: digestOf(bytes), format: 'tar' });
}

const pod = (name: string): PodUid => podUidSchema.parse(name);
const wish = (podUid: string, signal = never) => ({ podUid: pod(podUid), deadlineUnixMs: Date.now() + 10_000, signal });
function bytesOnDisk(path: string): number {
  try {
    const stats = lstatSync(path);
    if (!stats.isDirectory()) return stats.blocks * 512;
    return readdirSync(path).reduce((sum, name) => sum + bytesOnDisk(join(path, name)), 0);
  } catch {
    // deleted meanwhile
    return 0;
  }
}

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

  test('gives what one Secret has opened to nobody who comes with another or with none, nor the other way round', async () => {
    const cache = await aCache();
    const code = stored('a');
    const of = (namespace: string, secretName: string) => ({ ...code, access: { namespace, secretName } });
    const { treePath } = await cache.fetch(of('team-a', 'code'), wish('p1'));
    expect(cache.take(of('team-a', 'code'), pod('p2'))).toBe(treePath);
    const others = [code, of('team-b', 'code'), of('team-a', 'other')];
    for (const other of others) {
      expect(cache.take(other, pod('p3'))).toBeUndefined();
      // as a store would that refuses them
      const bytes = store.objects.get('a') ?? Buffer.alloc(0);
      store.objects.delete('a');
      await expect(cache.fetch(other, wish('p3'))).rejects.toMatchObject({ code: 'ObjectNotFound' });
      store.objects.set('a', bytes);
      expect((await cache.fetch(other, wish('p3'))).treePath).not.toBe(treePath);
      cache.release(pod('p3'));
    }
    // not for those who were there a process ago either
    const second = await aCache();
    expect(await second.verifyAll()).toHaveLength(4);
    expect(second.take(of('team-a', 'code'), pod('p4'))).toBe(treePath);
    expect(second.take(of('team-c', 'code'), pod('p5'))).toBeUndefined();
    expect(second.digests()).toEqual([code.digest]);
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
    const cache = await aCache(2 * ENTRY);
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
    const second = await aCache(2 * ENTRY);
    expect(second.digests()).toHaveLength(3);
    second.adoptPin(trees[0] ?? '', pod('p1'));
    await second.verifyAll();
    second.adoptPin('/somewhere/else/tree', pod('p2'));
    second.trim();
    expect(second.digests()).toContain(a.digest);
    expect(second.usedBytes).toBeLessThanOrEqual(2 * ENTRY);
    expect(store.opened).toBe(3);
  });

  test('looks at what an earlier process left before it is used, and fetches what is damaged again', async () => {
    const first = await aCache();
    const [a, b, c] = [stored('a'), stored('b'), stored('c')];
    const trees = [];
    for (const code of [a, b, c]) trees.push((await first.fetch(code, wish('p1'))).treePath);
    const file = join(trees[1] ?? '', 'index.js');
    chmodSync(file, 0o644);
    writeFileSync(file, 'bbbbbbbbbB');
    chmodSync(file, 0o444);
    chmodSync(trees[2] ?? '', 0o755);
    writeFileSync(join(trees[2] ?? '', 'more.js'), '');

    const second = await aCache();
    expect(second.take(a, pod('p2'))).toBeUndefined();
    expect(second.describe().entries.map(({ isVerified }) => isVerified)).toEqual([false, false, false]);
    const whole = await second.fetch(a, wish('p2'));
    expect(whole.treePath).toBe(trees[0]);
    expect(store.opened).toBe(3);
    expect(second.take(a, pod('p3'))).toBe(trees[0]);

    const again = await second.fetch(b, wish('p4'));
    expect(readFileSync(join(again.treePath, 'index.js'), 'utf8')).toBe('bbbbbbbbbb');
    await second.verifyAll();
    expect(second.take(c, pod('p5'))).toBeUndefined();
    expect((await second.fetch(c, wish('p5'))).treePath).toBe(trees[2]);
    expect(readdirSync(trees[2] ?? '')).toEqual(['index.js']);
    expect(store.opened).toBe(5);
    expect(happened.filter((line) => line.startsWith('corrupt'))).toEqual([
      `corrupt ${b.digest}`,
      `corrupt ${c.digest}`,
    ]);
    await expect.poll(leftovers).toEqual([]);
  });

  test('is emptied from its high to its low watermark when nothing is fetched for a while', async () => {
    const cache = await aCache(20 * ENTRY, { sweepIdleMs: 20 });
    for (let index = 0; index < 19; index++) await cache.fetch(stored(`k${index}`), wish(`p${index}`));
    for (let index = 0; index < 19; index++) cache.release(pod(`p${index}`));
    await cache.fetch(stored('last'), wish('p'));
    cache.release(pod('p'));
    await expect.poll(() => cache.usedBytes).toBeLessThanOrEqual(16 * ENTRY);
    expect(cache.take(stored('k0'), pod('p'))).toBeUndefined();
    expect(cache.describe()).toMatchObject({ evictedCount: 4, evictedBytes: 4 * ENTRY });
  });

  test('brings one object once for a hundred claims, and a prefetch that a claim joins', async () => {
    const cache = await aCache();
    const code = stored('a');
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const prefetch = cache.prefetch(code, never);
    const claims = Array.from({ length: 100 }, (_, index) => cache.fetch(code, wish(`p${index}`)));
    await expect.poll(() => cache.progressOf(code)?.isStarted).toBe(true);
    expect(cache.progressOf(code)?.priority.kind).toBe('claim');
    gate.resolve();
    await Promise.all([prefetch, ...claims]);
    expect(store.opened).toBe(1);
    expect(cache.describe().entries).toMatchObject([{ inUse: 100 }]);
    for (let index = 0; index < 100; index++) cache.release(pod(`p${index}`));
    expect(cache.describe().entries).toMatchObject([{ inUse: 0 }]);
  });

  test('serves fifty objects that do not fit together, each while it is used, within its limit on disk', async () => {
    const sizeBytes = 1_000_000;
    const limitBytes = 12 * sizeBytes;
    const cache = await aCache(limitBytes);
    let mostBytes = 0;
    const measure = setInterval(() => (mostBytes = Math.max(mostBytes, bytesOnDisk(folder))), 2);
    const codes = Array.from({ length: 50 }, (_, index) => stored(`number-${index}-`, sizeBytes));
    await Promise.all(
      codes.map(async (code, index) => {
        const { treePath } = await cache.fetch(code, wish(`p${index}`));
        // in use for a moment: whole, whatever the others make room for
        await new Promise((resolve) => setTimeout(resolve, 5));
        expect(readFileSync(join(treePath, 'index.js'), 'utf8').startsWith(`number-${index}-`)).toBe(true);
        cache.release(pod(`p${index}`));
      }),
    );
    clearInterval(measure);
    expect(mostBytes).toBeGreaterThan(limitBytes / 2);
    expect(mostBytes).toBeLessThanOrEqual(limitBytes * 1.05 + 2 * 2 * MIB);
    await expect.poll(leftovers).toEqual([]);
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
