import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CacheReply, PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import type { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { ObjectServer } from '@warmpool/host-agent/testing/object-server.ts';
import { shapedPort } from '@warmpool/host-agent/testing/shaped-link.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf, readTree } from '@warmpool/host-agent/testing/unpacking.ts';
import { seededRandom } from '../apiserver/seeded-random.ts';

/** More by WARMPOOL_KILL_ROUNDS=200. */
const ROUNDS = Number(process.env['WARMPOOL_KILL_ROUNDS'] ?? 8);
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const FILES = 150;
const FILE_BYTES = 8_000;

let node: NodeUnderTest;
beforeEach(() => {
  node = new NodeUnderTest();
});
afterEach(() => node.close());

interface StoredCode {
  code: { url: string; digest: string; format: string };
  tree: Record<string, string>;
}

describe('a host-agent killed at any moment', () => {
  test(`of a fetch leaves no wrong byte and no rest (seed ${SEED}, ${ROUNDS} rounds)`, async () => {
    const random = seededRandom(SEED);
    const store = new ObjectServer();
    const link = await shapedPort(store.server, { roundTripMs: 4, bytesPerSecond: 20_000_000 });
    const known = new Map<string, StoredCode>();
    const seen = { nothing: 0, unpacking: 0, sealed: 0, published: 0 };
    const cacheDir = join(node.folder, 'cache');
    const flags = ['--allow-loopback-sources', '--cache-bytes', String(8 * FILES * FILE_BYTES)];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const host = await node.host(flags);
        expect(readdirSync(join(cacheDir, 'tmp'))).toEqual([]);
        for (const name of ['a', 'b', 'c']) {
          const stored = aTree(store, link.port, `${round}-${name}`, random);
          known.set(stored.code.digest, stored);
          await host.request('POST', '/v1/prefetch', { code: stored.code });
        }
        await new Promise((resolve) => setTimeout(resolve, random() * 250));
        await host.end('SIGKILL');
        seen[stageOf(cacheDir)]++;
        for (const [digest, tree] of treesIn(cacheDir)) expect(tree).toEqual(known.get(digest)?.tree);
      }
      const host = await node.host(flags);
      const last = [...known.values()].slice(-3);
      for (const { code } of last) await host.request('POST', '/v1/prefetch', { code });
      await expect.poll(() => states(host), { timeout: 20_000 }).toEqual(['cached', 'cached', 'cached']);
      const trees = treesIn(cacheDir);
      for (const { code, tree } of last) expect(trees.get(code.digest)).toEqual(tree);
      expect(readdirSync(join(cacheDir, 'tmp'))).toEqual([]);
      const { body } = await host.request<CacheReply>('GET', '/v1/cache');
      expect(body.entries.map(({ digest }) => digest).toSorted()).toEqual([...trees.keys()].toSorted());
    } finally {
      process.stdout.write(`killed with: ${JSON.stringify(seen)}\n`);
      await link.close();
      await store.close();
    }
  }, 900_000);
});

describe.each([
  ['inodes', 'size=64m,nr_inodes=120', 'nr_inodes=2000'],
  ['space', 'size=600k', 'size=64m'],
])('a disk without %s', (_what, small, large) => {
  test('is a full cache to the claim, is left as it was, and is used again when there is room', async (context) => {
    const disk = join(node.folder, 'small');
    mkdirSync(disk);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', small, 'tmpfs', disk]).status !== 0) {
      process.stdout.write('skipped: full disks: no permission to mount a tmpfs\n');
      return context.skip();
    }
    const store = new ObjectServer();
    const link = await shapedPort(store.server, { roundTripMs: 0, bytesPerSecond: 1e9 });
    try {
      const host = await node.host(['--allow-loopback-sources', '--cache-dir', join(disk, 'cache')]);
      const many = aTree(store, link.port, 'many', () => 0.5);
      await host.request('POST', '/v1/prefetch', { code: many.code });
      await expect.poll(() => states(host), { timeout: 10_000 }).toEqual(['failed']);
      const { body } = await host.request<PrefetchList>('GET', '/v1/prefetch');
      expect(body.items[0]?.error).toMatchObject({
        code: 'CacheFull',
        message: expect.stringContaining('no space') as string,
      });
      await expect.poll(() => readdirSync(join(disk, 'cache', 'tmp'))).toEqual([]);
      spawnSync('mount', ['-o', `remount,${large}`, disk]);
      await host.request('POST', '/v1/prefetch', { code: many.code });
      await expect.poll(() => states(host), { timeout: 10_000 }).toEqual(['cached']);
      expect(treesIn(join(disk, 'cache')).get(many.code.digest)).toEqual(many.tree);
      const exited = once(host.child, 'exit');
      host.child.kill('SIGTERM');
      await exited;
    } finally {
      spawnSync('umount', [disk]);
      await link.close();
      await store.close();
    }
  });
});

async function states(host: HostAgentProcess): Promise<string[]> {
  return (await host.request<PrefetchList>('GET', '/v1/prefetch')).body.items.map(({ state }) => state);
}

function aTree(store: ObjectServer, port: number, key: string, random: () => number): StoredCode {
  const entries = Array.from({ length: FILES }, (_, index) => ({
    name: `folder-${index % 10}/file-${index}.js`,
    body: Buffer.from(Uint32Array.from({ length: FILE_BYTES / 4 }, () => random() * 2 ** 32).buffer),
  }));
  const bytes = gzipSync(tarOf(entries), { level: 1 });
  store.objects.set(key, bytes);
  const folders = new Set(entries.map(({ name }) => name.split('/')[0] ?? ''));
  const tree = Object.fromEntries([
    ...[...folders].map((name) => [name, 'folder'] as const),
    ...entries.map(({ name, body }) => [name, `file:${body.toString('latin1')}`] as const),
  ]);
  const url = `http://127.0.0.1:${port}/${key}`;
  return { code: { url, digest: digestOf(bytes), format: 'tar.gz' }, tree };
}

/** What anybody could be given: every tree that is in its place, by digest. */
function treesIn(cacheDir: string): Map<string, Record<string, string>> {
  const entries = join(cacheDir, 'sha256');
  const found = readdirSync(entries).map(
    (key) => [`sha256:${key.slice(0, 64)}`, readTree(join(entries, key, 'tree'))] as const,
  );
  return new Map(found);
}

function stageOf(cacheDir: string): 'nothing' | 'unpacking' | 'sealed' | 'published' {
  const jobs = readdirSync(join(cacheDir, 'tmp')).map((name) => join(cacheDir, 'tmp', name));
  if (jobs.some((job) => existsSync(join(job, 'size.json')))) return 'sealed';
  if (jobs.some((job) => existsSync(join(job, 'tree')))) return 'unpacking';
  return readdirSync(join(cacheDir, 'sha256')).length > 0 ? 'published' : 'nothing';
}
