import { chmodSync, existsSync, lstatSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CacheReply } from '@warmpool/protocol/host-agent-api.ts';
import { DEFAULT_UNPACK_LIMITS } from '@warmpool/host-agent/core/unpack-limits.ts';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import type { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { missingForImages } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { MounterUnderTest } from '@warmpool/host-agent/testing/mounter-under-test.ts';
import type { StoredCode } from '@warmpool/host-agent/testing/node-under-test.ts';
import type { TarEntry } from '@warmpool/host-agent/testing/tar-builder.ts';
import { paxOf, tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf, once, readTree } from '@warmpool/host-agent/testing/unpacking.ts';
import { runUnpackJob } from '@warmpool/host-agent/unpack/unpack-job.ts';
import { Prng } from '../sim/prng.ts';

const missing = missingForImages();
if (missing !== undefined) process.stdout.write(`skipped: trees as erofs images: ${missing}\n`);

/** Any name, by a pax header. */
const entry = (name: string, fields: Omit<TarEntry, 'name'> = {}): TarEntry[] => [
  paxOf({ path: name }),
  { name: 'x', ...fields },
];

/** Files of which the entries of a folder take `bytes`, `.` and `..` included. */
function folderOf(path: string, bytes: number): TarEntry[] {
  const [ownBytes, direntBytes, usualBytes] = [27, 12, 100];
  const count = Math.floor((bytes - ownBytes) / usualBytes) - 1;
  const names = Array.from({ length: count }, (_, index) => `${index}`.padEnd(usualBytes - direntBytes, 'n'));
  const lastBytes = bytes - ownBytes - count * usualBytes - direntBytes;
  return [...names, 'z'.repeat(lastBytes)].flatMap((name) => entry(`${path}/${name}`, { body: name }));
}

const ODD_NAMES = [
  '-a',
  '.a',
  '...',
  '!x',
  ' ',
  'A',
  'a',
  'ä',
  '漢',
  '\u{E000}',
  '😀',
  'n'.repeat(255),
  'ü'.repeat(127),
];
const ODD_TREE: TarEntry[] = [
  ...[0, 1, 4095, 4096, 4097, 1024 * 1024 + 5].flatMap((size) =>
    entry(`sizes/${size}`, { body: Buffer.alloc(size, 7) }),
  ),
  // what follows an inode may fill its block, and no more
  ...[4031, 4032, 4033, 4095, 4096, 4097, 4200, 8192, 8300, 40_000].flatMap((bytes) =>
    folderOf(`folders/${bytes}`, bytes),
  ),
  ...ODD_NAMES.flatMap((name) => entry(`odd/${name}`, { body: name })),
  ...entry('odd/run', { mode: 0o755, body: '#!/bin/sh' }),
  ...entry('empty', { type: '5' }),
  ...entry(`${'deep/'.repeat(90)}file`, { body: 'deep' }),
  ...entry('links/other', { type: '1', linkName: 'sizes/4097' }),
  ...entry('links/third', { type: '1', linkName: 'links/other' }),
  ...entry('links/soft', { type: '2', linkName: '../sizes/1' }),
  ...entry('links/long', { type: '2', linkName: `../${'l'.repeat(90)}` }),
];

describe.skipIf(missing !== undefined)('an image of a tree', () => {
  let hands: MounterUnderTest;
  beforeEach(async () => {
    hands = await MounterUnderTest.start();
  });
  afterEach(() => hands.close());

  /** The same archive as a folder and as an image. */
  async function both(bytes: Buffer, name: string): Promise<{ folder: string; image: string }> {
    const paths = { folder: join(hands.folder, `${name}-folder`), image: join(hands.folder, `${name}-image`) };
    const limits = { ...DEFAULT_UNPACK_LIMITS, maxPathBytes: 4096 };
    const job = { format: 'tar' as const, fileName: '', digest: digestOf(bytes), limits };
    await runUnpackJob({ ...job, folder: paths.folder }, once(bytes));
    await runUnpackJob({ ...job, folder: paths.image, imageName: 'a.erofs' }, once(bytes));
    await hands.mounter.mountImage(paths.image, 'a.erofs', join(paths.image, 'tree'));
    return { folder: join(paths.folder, 'tree'), image: hands.namespace.inside(join(paths.image, 'tree')) };
  }

  test('shows what a folder shows, whatever the names and sizes', async () => {
    const trees = await both(tarOf(ODD_TREE), 'odd');
    expect(readTree(trees.image)).toEqual(readTree(trees.folder));
    for (const name of Object.keys(readTree(trees.folder))) {
      const [ours, theirs] = [lstatSync(join(trees.image, name)), lstatSync(join(trees.folder, name))];
      const facts = { mode: ours.mode, uid: ours.uid, gid: ours.gid, links: ours.nlink };
      expect(facts, name).toEqual({ mode: theirs.mode, uid: theirs.uid, gid: theirs.gid, links: theirs.nlink });
      expect(Math.abs(ours.mtimeMs - Date.now()), `the age of ${name}`).toBeLessThan(60_000);
    }
    expect(statSync(join(trees.image, 'links/third')).ino).toBe(statSync(join(trees.image, 'sizes/4097')).ino);
    expect(() => writeFileSync(join(trees.image, 'new'), '')).toThrow(/EROFS/);
    expect(() => statSync(join(trees.image, 'odd/missing'))).toThrow(/ENOENT/);
  });

  test('is given up, and leaves nothing, when the disk is full or the digest is wrong', async () => {
    hands.namespace.run('mount', '-t', 'tmpfs', '-o', 'size=600k', 'small', hands.folder);
    const bytes = tarOf(ODD_TREE);
    const job = { format: 'tar' as const, fileName: '', limits: DEFAULT_UNPACK_LIMITS, imageName: 'a.erofs' };
    const small = hands.namespace.inside(join(hands.folder, 'job'));
    const full = runUnpackJob({ ...job, folder: small, digest: digestOf(bytes) }, once(bytes));
    await expect(full).rejects.toMatchObject({ code: 'CacheFull' });
    const wrong = runUnpackJob(
      { ...job, folder: join(hands.folder, 'job'), digest: digestOf(Buffer.from('')) },
      once(bytes),
    );
    await expect(wrong).rejects.toMatchObject({ code: 'DigestMismatch' });
    expect([existsSync(small), existsSync(join(hands.folder, 'job'))]).toEqual([false, false]);
  });

  test('shows what a folder shows for any tree', async () => {
    const seed = process.env['SEED'] ?? String(Date.now());
    process.stdout.write(`tree-images: SEED=${seed}\n`);
    const random = new Prng(seed);
    for (let round = 0; round < 20; round++) {
      const trees = await both(tarOf(anyTree(random)), `any-${round}`);
      expect(readTree(trees.image)).toEqual(readTree(trees.folder));
    }
  });
});

function anyTree(random: Prng): TarEntry[] {
  const letters = ['a', 'Z', '.', '-', '_', 'é', '漢', '😀'];
  const name = (): string =>
    `${random.int(0, 1_000_000)}${Array.from({ length: random.int(0, 40) }, () => random.pick(letters)).join('')}`;
  const folders = [''];
  for (let count = random.int(0, 20); count > 0; count--) folders.push(`${random.pick(folders)}${name()}/`);
  const sizes = [0, 10, 500, 4096, 5000, 300_000];
  return Array.from({ length: random.int(65, 900) }, () =>
    entry(`${random.pick(folders)}${name()}`, { body: Buffer.alloc(random.int(0, random.pick(sizes)), name()) }),
  ).flat();
}

describe.skipIf(missing !== undefined)('a node whose kernel mounts images', () => {
  const FILES = 200;
  let node: CsiNode;
  beforeEach(async () => {
    node = await CsiNode.start();
  });
  afterEach(() => node.close());

  const manyFiles = (key: string): StoredCode => node.node.stored(key, key, FILES);
  const entryOf = ({ digest }: StoredCode): string => join(node.folder, 'cache/sha256', `${digest.slice(7)}.tar`);
  const codeMount = (podUid: string) =>
    node.volumeMounts().find(({ mountPoint }) => mountPoint.startsWith(podUid) && mountPoint.endsWith('/code'));

  async function loaded(host: HostAgentProcess, podUid: string, code: StoredCode) {
    const pod = await node.publishedPod(podUid);
    const events = await host.events();
    await events.podState(podUid, 'standby');
    await events.close();
    return { pod, answer: await host.load(pod, code) };
  }

  test('keeps a tree of many files as one file, mounts it once, and gives pods what they cannot change', async () => {
    const host = await node.host();
    const code = manyFiles('many.tar');
    const [first, second] = [await loaded(host, 'pod-1', code), await loaded(host, 'pod-2', code)];
    expect([first.answer, second.answer]).toMatchObject([{ statusCode: 200 }, { body: { codeSource: 'cache' } }]);
    for (const { pod } of [first, second]) {
      expect(readdirSync(join(pod.folder, 'code/lib'))).toHaveLength(FILES - 1);
      expect(readFileSync(join(pod.folder, 'code/lib/150.js'), 'utf8')).toBe('many.tar 150');
      expect(() => writeFileSync(join(pod.folder, 'code/index.js'), 'x')).toThrow(/EROFS/);
    }
    const files = readdirSync(entryOf(code)).filter((name) => name !== 'read-ahead');
    expect(files.toSorted()).toEqual([`${code.digest.slice(7)}.tar.erofs`, 'manifest', 'size.json', 'tree']);
    // the same file system, so that what one has read the other finds in memory
    expect(codeMount('pod-1')).toMatchObject({ fsType: 'erofs', device: codeMount('pod-2')?.device ?? '' });

    const few = node.node.stored('few.tar');
    await loaded(host, 'pod-3', few);
    expect(codeMount('pod-3')?.fsType).not.toBe('erofs');
    for (const podUid of ['pod-1', 'pod-2', 'pod-3']) await node.removePod(podUid);
    expect(node.volumeMounts()).toEqual([]);
  });

  test('shows what was prepared of an image from the read-only staging mount, as of a folder', async () => {
    // without the newer calls a mount is bound from there or not at all
    const classic = join(node.folder, 'classic-helper');
    writeFileSync(classic, `#!/bin/sh\nexec ${join(node.folder, 'mount-helper')} --classic\n`, { mode: 0o755 });
    chmodSync(node.folder, 0o755);
    const preparer = JSON.stringify(['/bin/sh', '-c', 'printf "some-interpreter/pack\\nfaster"']);
    const host = await node.host(['--mount-helper', classic, '--preparer', preparer]);
    const code = manyFiles('prepared.tar');
    await loaded(host, 'pod-1', code);
    await expect
      .poll(() => existsSync(join(entryOf(code), 'prepared/some-interpreter/pack')), { timeout: 30_000 })
      .toBe(true);
    const { pod } = await loaded(host, 'pod-2', code);
    expect(readFileSync(join(pod.folder, 'code/lib/7.js'), 'utf8')).toBe('prepared.tar 7');
    expect(readFileSync(join(pod.folder, 'prepared/some-interpreter/pack'), 'utf8')).toBe('faster');
    expect(() => writeFileSync(join(pod.folder, 'prepared/some-interpreter/pack'), 'x')).toThrow(/EROFS/);
  });

  test('knows after a restart which images pods use, and evicts what nobody does', async () => {
    const first = await node.host();
    const code = manyFiles('used.tar');
    const { pod } = await loaded(first, 'pod-1', code);
    await loaded(first, 'pod-2', manyFiles('unused.tar'));
    await node.removePod('pod-2');
    await first.end('SIGKILL');

    const second = await node.host(['--cache-bytes', '1000']);
    const entries = async () => (await second.request<CacheReply>('GET', '/v1/cache')).body.entries;
    await expect.poll(entries).toMatchObject([{ digest: code.digest, inUse: 1, isVerified: true }]);
    expect(readFileSync(join(pod.folder, 'code/lib/7.js'), 'utf8')).toBe('used.tar 7');
    await expect.poll(() => readdirSync(join(node.folder, 'cache/tmp'))).toEqual([]);
    expect(await loaded(second, 'pod-3', code)).toMatchObject({ answer: { body: { codeSource: 'cache' } } });
  });

  test('finds damage that came over an image while no host-agent ran, and fetches the code again', async () => {
    const first = await node.host();
    const code = manyFiles('damaged.tar');
    await loaded(first, 'pod-1', code);
    await node.removePod('pod-1');
    await first.end('SIGKILL');
    const image = join(entryOf(code), `${code.digest.slice(7)}.tar.erofs`);
    const bytes = readFileSync(image);
    bytes[bytes.indexOf('damaged.tar 150')] = 0x58;
    rmSync(image);
    writeFileSync(image, bytes);

    const second = await node.host();
    const { pod, answer } = await loaded(second, 'pod-2', code);
    expect(answer).toMatchObject({ statusCode: 200 });
    expect(readFileSync(join(pod.folder, 'code/lib/150.js'), 'utf8')).toBe('damaged.tar 150');
    expect(second.output).toContain('a cached tree was damaged');
  });

  test('leaves nothing mounted or on disk of what it evicts, and nothing of its own when it ends', async () => {
    const host = await node.host(['--cache-bytes', String(2 * 1024 * 1024)]);
    for (const name of ['a', 'b', 'c', 'd']) {
      await loaded(host, `pod-${name}`, manyFiles(`${name}.tar`));
      await node.removePod(`pod-${name}`);
    }
    const { body } = await host.request<CacheReply>('GET', '/v1/cache');
    const kept = body.entries.map(({ digest }) => `${digest.slice(7)}.tar`).toSorted();
    expect(kept.length).toBeLessThan(4);
    await expect.poll(() => readdirSync(join(node.folder, 'cache/tmp'))).toEqual([]);
    expect(readdirSync(join(node.folder, 'cache/sha256')).toSorted()).toEqual(kept);
    const own = readFileSync(`/proc/${host.child.pid}/mountinfo`, 'utf8').split('\n');
    const mounted = own.filter((line) => line.includes(' - erofs '));
    expect(mounted).toHaveLength(kept.length);
    for (const key of kept) expect(mounted.filter((line) => line.includes(` - erofs ${key}.erofs `))).toHaveLength(1);
    expect(await host.end('SIGTERM')).toBe(0);
  });
});
