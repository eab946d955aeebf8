import { randomBytes } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CodeReference } from '@warmpool/protocol/fields.ts';
import { codeSchema } from '@warmpool/protocol/fields.ts';
import type { BlobStore, OpenedBlob } from '../blob/blob-store.ts';
import { BlobSources } from '../blob/blob-sources.ts';
import type { Download } from '../blob/downloader.ts';
import { Downloader } from '../blob/downloader.ts';
import { DEFAULT_FETCH_BUDGET, FetchBudget } from '../blob/fetch-budget.ts';
import { CacheFolder } from '../cache/cache-folder.ts';
import { CodeCache } from '../cache/code-cache.ts';
import { systemClock } from '../clock.ts';
import type { WantedCode } from '../core/cache-key.ts';
import { DEFAULT_UNPACK_LIMITS } from '../core/unpack-limits.ts';
import { hostError } from '../errors.ts';
import { tarOf } from '../testing/tar-builder.ts';
import { digestOf } from '../testing/unpacking.ts';
import { Unpacker } from '../unpack/unpacker.ts';
import { openPeers, type Peers, type PeersConfig } from './open-peers.ts';

const KIB = 1024;
/** Time stands still for what is paused after a failure; what is waited for is timed by timers. */
const clock = { ...systemClock, monotonic: () => 0 };
const PATIENT_MS = 20_000;
let folder: string;
let origin: Origin;
const open: Peers[] = [];
const servers: Server[] = [];

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-peers-')));
  origin = new Origin();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((peers) => peers.close()));
  for (const server of servers.splice(0)) server.close().closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** Sends half of an object, and the other half when its gate is open. */
class Origin implements BlobStore {
  readonly objects = new Map<string, Buffer>();
  gate: Promise<void> = Promise.resolve();
  opened = 0;

  open(key: string): Promise<OpenedBlob> {
    this.opened++;
    const bytes = this.objects.get(key);
    if (bytes === undefined) return Promise.reject(hostError.objectNotFound(key));
    return Promise.resolve({ sizeBytes: bytes.length, stream: this.#read(bytes) });
  }

  put(key: string, bytes: Buffer = tarOf([{ name: 'data', body: randomBytes(600 * KIB) }])): CodeReference {
    this.objects.set(key, bytes);
    return codeSchema.parse({ key, digest: digestOf(bytes), format: 'tar' });
  }

  async *#read(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
    const half = Math.floor(bytes.length / 2);
    // a chunk belongs to its reader
    yield Uint8Array.from(bytes.subarray(0, half));
    await this.gate;
    yield Uint8Array.from(bytes.subarray(half));
  }
}

interface Node {
  peers: Peers;
  registry: Registry;
  cacheFolder: CacheFolder;
  /** As the cache would: read to the end, and say whether the digest was right. */
  bring(code: WantedCode): Promise<Buffer>;
  begin(code: WantedCode): Promise<Download>;
  asked(): Promise<Record<string, number>>;
}

async function aNode(name: string, config: Partial<PeersConfig> = {}): Promise<Node> {
  const cacheFolder = await CacheFolder.open(join(folder, name));
  const registry = new Registry();
  const budget = new FetchBudget(clock, DEFAULT_FETCH_BUDGET);
  const onProblem = (error: unknown): void => void problems.push(error);
  const problems: unknown[] = [];
  const peers = await openPeers(
    { clock, budget, registry, tls: undefined, folder: cacheFolder, onProblem },
    {
      peerListen: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      ...{ peerCacheBytes: 10_000 * KIB, peerConnections: 8, peerBytesPerSecond: 0 },
      ...{ peerPatienceMs: PATIENT_MS, cacheDir: join(folder, name) },
      ...config,
    },
  );
  if (peers === undefined) throw new Error('no peers');
  open.push(peers);
  const sources = peers.over(sourcesOf(budget));
  const signal = new AbortController().signal;
  const priority = { kind: 'claim', deadlineUnixMs: 0 } as const;
  const begin = (code: WantedCode): Promise<Download> => sources.open(code, { signal, priority, wantsTail: false });
  return {
    ...{ peers, registry, cacheFolder, begin },
    bring: async (code) => {
      const download = await begin(code);
      const bytes = await whole(download);
      if (digestOf(bytes) === code.digest) download.verified?.();
      download.close();
      expect(problems).toEqual([]);
      return bytes;
    },
    asked: async () => {
      const metric = await registry.getSingleMetric('warmpool_host_peer_requests_total')?.get();
      return Object.fromEntries(metric?.values.map(({ labels, value }) => [String(labels['outcome']), value]) ?? []);
    },
  };
}

function sourcesOf(budget: FetchBudget): BlobSources {
  const none: BlobStore = { open: () => Promise.reject(new Error('not used')) };
  const downloader = new Downloader({ clock, random: Math.random, budget });
  const ofPools = { http: () => none, oci: () => none, s3: () => ({ store: origin, origin: 'of a pool' }) };
  const stores = {
    defaultStore: origin,
    http: none,
    file: none,
    oci: none,
    buckets: new Map<string, BlobStore>(),
    ofPools,
  };
  return new BlobSources({ downloader, ...stores });
}

async function whole({ stream }: Download): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Uint8Array.from(chunk));
  return Buffer.concat(chunks);
}

/** A peer that does what a test says. */
async function aPeer(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('what one node has, another gets from it, and gives on', async () => {
  const code = origin.put('a');
  const nodes = [await aNode('n0'), await aNode('n1'), await aNode('n2')];
  for (const [index, node] of nodes.entries()) {
    node.peers.directory.learn(code.digest, index === 0 ? [] : [nodes[index - 1]?.peers.url ?? '']);
    expect(digestOf(await node.bring(code))).toBe(code.digest);
    await expect.poll(() => readdirSync(join(folder, `n${index}`, 'artefacts'))).toEqual([code.digest.slice(7)]);
  }
  expect(origin.opened).toBe(1);
  expect(await nodes[2]?.asked()).toEqual({ served: 1 });
});

test('what one Secret has opened is given to nodes that come with the same, and to no others', async () => {
  const code = origin.put('a');
  const ofTeamA: WantedCode = { ...code, access: { namespace: 'team-a', secretName: 'code' } };
  const [first, second, third] = [await aNode('n0'), await aNode('n1'), await aNode('n2')];
  await first.bring(ofTeamA);
  await expect.poll(() => readdirSync(join(folder, 'n0', 'artefacts'))).toHaveLength(1);
  for (const node of [second, third]) node.peers.directory.learn(code.digest, [first.peers.url]);
  await second.bring(ofTeamA);
  expect(await second.asked()).toEqual({ served: 1 });
  expect(origin.opened).toBe(1);
  const others = [code, { ...code, access: { namespace: 'team-b', secretName: 'code' } }];
  for (const other of others) await third.bring(other);
  expect(await third.asked()).toEqual({ absent: 2 });
  expect(origin.opened).toBe(3);
  first.peers.drop(code.digest);
  await expect.poll(() => readdirSync(join(folder, 'n0', 'artefacts'))).toEqual([]);
});

test('what is still arriving is given on as it arrives', async () => {
  const code = origin.put('a');
  const opening = Promise.withResolvers<void>();
  origin.gate = opening.promise;
  const [first, second] = [await aNode('n0'), await aNode('n1')];
  second.peers.directory.learn(code.digest, [first.peers.url]);
  const bringing = first.bring(code);
  await expect.poll(() => readdirSync(join(folder, 'n0', 'artefacts'))).toEqual(['incoming-0']);
  const download = await second.begin(code);
  const stream = download.stream[Symbol.asyncIterator]();
  expect((await stream.next()).done).toBe(false);
  opening.resolve();
  expect(digestOf(await bringing)).toBe(code.digest);
  while ((await stream.next()).done !== true);
  download.close();
  expect(await second.asked()).toEqual({ served: 1 });
  expect(origin.opened).toBe(1);
});

test('who asks a moment before the fetch begins gets it too', async () => {
  const code = origin.put('a');
  const [first, second] = [await aNode('n0'), await aNode('n1')];
  second.peers.directory.learn(code.digest, [first.peers.url]);
  const arrival = Promise.withResolvers<void>();
  const onRequest = (): void => arrival.resolve();
  subscribe('http.server.request.start', onRequest);
  const bringing = second.bring(code);
  await arrival.promise;
  unsubscribe('http.server.request.start', onRequest);
  await first.bring(code);
  expect(digestOf(await bringing)).toBe(code.digest);
  expect(await second.asked()).toEqual({ served: 1 });
  expect(origin.opened).toBe(1);
});

test('a peer that breaks off is followed by the next one, from where it ended', async () => {
  const code = origin.put('a');
  const bytes = origin.objects.get('a') ?? Buffer.alloc(0);
  const good = await aNode('good');
  await good.bring(code);
  const broken = await aPeer((_request, response) => {
    response.writeHead(200, { 'content-length': bytes.length });
    response.write(bytes.subarray(0, 100 * KIB), () => setImmediate(() => response.destroy()));
  });
  const node = await aNode('n');
  node.peers.directory.learn(code.digest, [broken, good.peers.url]);
  expect(digestOf(await node.bring(code))).toBe(code.digest);
  expect(await node.asked()).toEqual({ broke_off: 1, served: 1 });
  expect(origin.opened).toBe(1);
});

test('one that has it not, is busy, is gone or says nothing costs a moment, and then the origin is asked', async () => {
  const code = origin.put('a');
  const node = await aNode('n', { peerPatienceMs: 300 });
  const answering = (status: number) => aPeer((_request, response) => void response.writeHead(status).end());
  const gone = 'http://127.0.0.1:1';
  const silent = await aPeer(() => {});
  node.peers.directory.learn(code.digest, [await answering(404), await answering(429), gone, silent]);
  expect(digestOf(await node.bring(code))).toBe(code.digest);
  expect(await node.asked()).toEqual({ absent: 1, busy: 1, unreachable: 1, no_answer: 1 });
  // those that failed are left alone for a while
  await node.bring(origin.put('b'));
  node.peers.directory.learn(code.digest, [gone, silent]);
  node.peers.drop(code.digest);
  await node.bring(code);
  expect((await node.asked())['paused']).toBe(2);
});

test('more than a node gives at once is refused, and told so by its metrics', async () => {
  const code = origin.put('a');
  const opening = Promise.withResolvers<void>();
  origin.gate = opening.promise;
  const giver = await aNode('giver', { peerConnections: 1 });
  const bringing = giver.bring(code);
  await expect.poll(() => readdirSync(join(folder, 'giver', 'artefacts'))).toEqual(['incoming-0']);
  const url = `${giver.peers.url}/v1/code/${code.digest.slice(7)}`;
  const first = await fetch(url);
  const second = await fetch(url);
  expect([first.status, second.status, second.headers.get('retry-after')]).toEqual([200, 429, '1']);
  opening.resolve();
  await bringing;
  expect(digestOf(Buffer.from(await first.arrayBuffer()))).toBe(code.digest);
  await expect.poll(async () => giver.registry.metrics()).toContain('peer_served_total{outcome="served"} 1');
  expect(await giver.registry.metrics()).toContain('warmpool_host_peer_served_total{outcome="busy"} 1');
});

test('nothing but code by its digest is given', async () => {
  const { url } = (await aNode('n')).peers;
  for (const path of ['/', '/v1/code/', '/v1/code/../../etc/passwd', `/v1/code/${'A'.repeat(64)}`, '/v1/cache']) {
    expect((await fetch(`${url}${path}`)).status).toBe(404);
  }
  expect((await fetch(`${url}/v1/code/${'a'.repeat(64)}`, { method: 'POST' })).status).toBe(404);
});

describe('what is kept for others', () => {
  const kept = (name: string): string[] => readdirSync(join(folder, name, 'artefacts')).sort();
  const hex = ({ digest }: CodeReference): string => digest.slice(7);

  test('goes when there is too much of it, when its tree goes, and never more than fits', async () => {
    const node = await aNode('n', { peerCacheBytes: 1_500 * KIB });
    const [a, b, c] = [origin.put('a'), origin.put('b'), origin.put('c')];
    for (const code of [a, b, c]) await node.bring(code);
    await expect.poll(() => kept('n')).toEqual([hex(b), hex(c)].sort());
    node.peers.drop(b.digest);
    await expect.poll(() => kept('n')).toEqual([hex(c)]);
    await node.bring(origin.put('large', tarOf([{ name: 'data', body: randomBytes(1_600 * KIB) }])));
    expect(kept('n')).toEqual([hex(c)]);
  });

  test('is not kept when its digest was wrong', async () => {
    const node = await aNode('n');
    await node.bring({ ...origin.put('a'), digest: origin.put('b').digest });
    await expect.poll(() => kept('n')).toEqual([]);
  });

  test('of an earlier process is what the cache still has', async () => {
    const code = origin.put('a');
    const cacheFolder = await CacheFolder.open(join(folder, 'n'));
    const tmp = cacheFolder.newTmpPath();
    const unpacker = new Unpacker();
    const { stream } = await origin.open('a');
    const job = {
      folder: tmp,
      format: 'tar',
      fileName: '',
      digest: code.digest,
      limits: DEFAULT_UNPACK_LIMITS,
    } as const;
    const listener = { onReceived: () => {}, onGrown: () => Promise.resolve() };
    await unpacker.unpack(job, { stream }, new AbortController().signal, listener);
    await unpacker.close();
    await cacheFolder.seal(tmp, 1);
    cacheFolder.publish(tmp, `${hex(code)}.tar`);
    const node = await aNode('n');
    for (const name of [hex(code), 'b'.repeat(64), 'incoming-7']) {
      writeFileSync(join(folder, 'n', 'artefacts', name), origin.objects.get('a') ?? '');
    }
    await node.peers.close();
    const again = await aNode('n');
    expect(kept('n')).toEqual([hex(code)]);
    const answer = await fetch(`${again.peers.url}/v1/code/${hex(code)}`, { headers: { range: 'bytes=10-' } });
    expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([
      206,
      (origin.objects.get('a')?.length ?? 0) - 10,
    ]);
  });
});

test('a peer that lies costs its transfer: the origin’s bytes are used, and it is not asked again', async () => {
  const code = origin.put('a');
  const liar = await aPeer((_request, response) => void response.end(tarOf([{ name: 'evil', body: 'evil' }])));
  const node = await aNode('n');
  const unpacker = new Unpacker();
  const nothing = (): void => {};
  const budget = new FetchBudget(clock, DEFAULT_FETCH_BUDGET);
  const cache = await CodeCache.open(
    {
      ...{ folder: node.cacheFolder, sources: node.peers.over(sourcesOf(budget)), unpacker, clock },
      ...{ onCached: nothing, onEvicted: nothing, onFetched: nothing, onCorrupt: nothing, onProblem: nothing },
    },
    { limitBytes: 10_000 * KIB, fetchConcurrency: 2, unpackLimits: DEFAULT_UNPACK_LIMITS },
  );
  node.peers.directory.learn(code.digest, [liar]);
  await cache.prefetch(code, new AbortController().signal);
  expect(cache.digests()).toEqual([code.digest]);
  expect(await node.asked()).toEqual({ served: 1, wrong_bytes: 1 });
  expect(origin.opened).toBe(1);
  const other = origin.put('b');
  node.peers.directory.learn(other.digest, [liar]);
  await cache.prefetch(other, new AbortController().signal);
  expect((await node.asked())['paused']).toBe(1);
  await unpacker.close();
  cache.close();
});
