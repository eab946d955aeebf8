import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../clock.ts';
import type { Random } from '../core/backoff.ts';
import { ObjectServer } from '../testing/object-server.ts';
import type { ShapedPort } from '../testing/shaped-link.ts';
import { shapedPort } from '../testing/shaped-link.ts';
import type { Download, DownloadWish } from './downloader.ts';
import { Downloader } from './downloader.ts';
import { DEFAULT_FETCH_BUDGET, FetchBudget } from './fetch-budget.ts';
import { HttpCredentials } from './http-credentials.ts';
import { HttpStore } from './http-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

const MIB = 1024 * 1024;
const random: Random = () => 0.5;
let origin: ObjectServer;
let link: ShapedPort;
let dispatcher: ReturnType<typeof createSourceDispatcher>;
let budget: FetchBudget;
let downloader: Downloader;
let store: HttpStore;

beforeEach(async () => {
  origin = new ObjectServer();
  link = await shapedPort(origin.server, { roundTripMs: 10, bytesPerSecond: 50_000_000 });
  dispatcher = createSourceDispatcher({ allowLoopback: true });
  budget = new FetchBudget(systemClock, DEFAULT_FETCH_BUDGET);
  downloader = new Downloader({ clock: systemClock, random, budget });
  store = new HttpStore(
    { dispatcher, clock: systemClock, random, allowLoopback: true },
    new HttpCredentials(undefined),
  );
});
afterEach(async () => {
  await dispatcher.destroy();
  await link.close();
  await origin.close();
});

function put(key: string, sizeBytes: number): Buffer {
  const bytes = randomBytes(sizeBytes);
  origin.objects.set(key, bytes);
  return bytes;
}

function open(key: string, wish: Partial<DownloadWish> = {}): Promise<Download> {
  const priority = { kind: 'claim' as const, deadlineUnixMs: Date.now() + 10_000 };
  const signal = new AbortController().signal;
  return downloader.open(store, `http://127.0.0.1:${link.port}/${key}`, 'l', {
    signal,
    priority,
    wantsTail: false,
    ...wish,
  });
}

async function readAll({ stream }: Download): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const isIdle = (): boolean => budget.connectionsInUse === 0 && budget.memoryInUseBytes === 0;

describe('a download', () => {
  test.each([0, 1, 1000, MIB - 1, MIB])('of %d bytes is one request', async (sizeBytes) => {
    const bytes = put('small', sizeBytes);
    const download = await open('small');
    expect(download.sizeBytes).toBe(sizeBytes);
    expect((await readAll(download)).equals(bytes)).toBe(true);
    expect(origin.requests).toHaveLength(1);
    await expect.poll(isIdle).toBe(true);
  });

  test.each([MIB + 1, 3 * MIB + 17, 24 * MIB + 5])(
    'of %d bytes is put together from ranges, in order',
    async (sizeBytes) => {
      const bytes = put('large', sizeBytes);
      expect((await readAll(await open('large'))).equals(bytes)).toBe(true);
      expect(origin.requests.length).toBeGreaterThan(1);
      expect(origin.sentBytes).toBe(sizeBytes);
      await expect.poll(isIdle).toBe(true);
    },
  );

  test('over a slow link uses several connections at once, at most eight', async () => {
    link.reshape({ bytesPerSecond: 10_000_000 });
    const bytes = put('fast', 12 * MIB);
    expect((await readAll(await open('fast'))).equals(bytes)).toBe(true);
    expect(link.connections()).toBeGreaterThan(2);
    expect(link.connections()).toBeLessThanOrEqual(8);
  });

  test('gives its first bytes while the last ones are not even asked for', async () => {
    put('early', 80 * MIB);
    const { stream } = await open('early');
    for await (const chunk of stream) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(origin.sentBytes).toBeLessThan(40 * MIB);
  });

  test('that nobody reads on holds no more than its window, and nothing when it is broken off', async () => {
    put('slow-reader', 100 * MIB);
    const iterator = (await open('slow-reader')).stream[Symbol.asyncIterator]();
    await iterator.next();
    await expect.poll(() => budget.connectionsInUse, { timeout: 5000 }).toBe(0);
    expect(budget.memoryInUseBytes).toBeLessThanOrEqual(32 * MIB);
    expect(origin.sentBytes).toBeLessThan(36 * MIB);
    await iterator.return?.();
    await expect.poll(isIdle).toBe(true);
  });

  test('goes on where a connection broke, without asking again for what it has', async () => {
    const bytes = put('breaks', 12 * MIB);
    let breaks = 5;
    origin.intercept = (_request, response) => {
      if (origin.requests.length > 2 && breaks-- > 0) setTimeout(() => response.destroy(), 25);
      return false;
    };
    expect((await readAll(await open('breaks'))).equals(bytes)).toBe(true);
    expect(breaks).toBeLessThanOrEqual(0);
    await expect.poll(isIdle).toBe(true);
  });

  test('from a store that stays broken fails after a bounded number of tries', async () => {
    put('broken', 8 * MIB);
    origin.intercept = (request, response) => {
      if (request.headers.range?.startsWith('bytes=0-') === true) return false;
      response.destroy();
      return true;
    };
    await expect(open('broken').then(readAll)).rejects.toMatchObject({ code: 'StoreUnreachable' });
    expect(origin.requests.length).toBeLessThan(200);
    await expect.poll(isIdle).toBe(true);
  });

  test('of an object that is replaced in the middle says so, and never mixes the two', async () => {
    put('changing', 24 * MIB);
    const iterator = (await open('changing')).stream[Symbol.asyncIterator]();
    await iterator.next();
    put('changing', 24 * MIB);
    const rest = (async () => {
      for (;;) if ((await iterator.next()).done === true) return;
    })();
    await expect(rest).rejects.toMatchObject({ message: expect.stringContaining('the object changed') as string });
    await expect.poll(isIdle).toBe(true);
  });

  test('from a server without ranges is one stream', async () => {
    origin.knowsRanges = false;
    const bytes = put('plain', 5 * MIB);
    const download = await open('plain', { wantsTail: true });
    expect(download.tail).toBeUndefined();
    expect((await readAll(download)).equals(bytes)).toBe(true);
    expect(origin.requests).toHaveLength(1);
    await expect.poll(isIdle).toBe(true);
  });

  test('whose reader gives up ends with the reason, and its requests end', async () => {
    put('given-up', 50 * MIB);
    const controller = new AbortController();
    const reason = new Error('nobody waits');
    const download = await open('given-up', { signal: controller.signal });
    const reading = readAll(download);
    setTimeout(() => controller.abort(reason), 30);
    await expect(reading).rejects.toBe(reason);
    await expect.poll(isIdle).toBe(true);
  });

  test('for a zip has the end of the object long before its turn', async () => {
    const bytes = put('zip', 20 * MIB);
    const download = await open('zip', { wantsTail: true });
    const tail = await download.tail;
    expect(tail === undefined ? undefined : bytes.subarray(tail.startByte).equals(tail.bytes)).toBe(true);
    expect((await readAll(download)).equals(bytes)).toBe(true);
    expect(origin.sentBytes).toBe(bytes.length);
  });
});

describe('the budget of a node', () => {
  test('bounds connections and memory of all downloads together, and every one of them ends', async () => {
    budget = new FetchBudget(systemClock, { connections: 5, memoryBytes: 6 * MIB, bytesPerSecond: 0 });
    downloader = new Downloader({ clock: systemClock, random, budget });
    const objects = Array.from({ length: 6 }, (_, index) => put(`o${index}`, 6 * MIB + index));
    let most = { connections: 0, memory: 0 };
    const watch = setInterval(() => {
      most = {
        connections: Math.max(most.connections, budget.connectionsInUse),
        memory: Math.max(most.memory, budget.memoryInUseBytes),
      };
    }, 1);
    const read = await Promise.all(objects.map(async (_, index) => readAll(await open(`o${index}`))));
    clearInterval(watch);
    expect(read.every((bytes, index) => objects[index]?.equals(bytes))).toBe(true);
    expect(most.connections).toBeLessThanOrEqual(5);
    expect(most.memory).toBeLessThanOrEqual(6 * MIB);
    expect(most.connections).toBeGreaterThan(1);
    await expect.poll(isIdle).toBe(true);
  });

  test('lets a claim pass a prefetch that came before', async () => {
    budget = new FetchBudget(systemClock, { connections: 8, memoryBytes: 32 * MIB, bytesPerSecond: 0 });
    downloader = new Downloader({ clock: systemClock, random, budget });
    put('later', 60 * MIB);
    put('now', 8 * MIB);
    const order: string[] = [];
    const priority = { kind: 'prefetch' as const, deadlineUnixMs: 0 };
    const prefetch = open('later', { priority })
      .then(readAll)
      .then(() => order.push('prefetch'));
    await open('now').then(readAll);
    order.push('claim');
    await prefetch;
    expect(order).toEqual(['claim', 'prefetch']);
  });

  test('keeps to its rate', async () => {
    budget = new FetchBudget(systemClock, { ...DEFAULT_FETCH_BUDGET, bytesPerSecond: 20 * MIB });
    downloader = new Downloader({ clock: systemClock, random, budget });
    put('a', 5 * MIB);
    put('b', 5 * MIB);
    const startedMs = performance.now();
    await Promise.all([open('a').then(readAll), open('b').then(readAll)]);
    expect(performance.now() - startedMs).toBeGreaterThan(400);
  });
});
