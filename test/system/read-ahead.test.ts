import { execFileSync, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_UNPACK_LIMITS } from '@warmpool/host-agent/core/unpack-limits.ts';
import { CsiNode } from '@warmpool/host-agent/testing/csi-node.ts';
import { missingForImages } from '@warmpool/host-agent/testing/mount-namespace.ts';
import { MounterUnderTest } from '@warmpool/host-agent/testing/mounter-under-test.ts';
import type { TarEntry } from '@warmpool/host-agent/testing/tar-builder.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf, once } from '@warmpool/host-agent/testing/unpacking.ts';
import { runUnpackJob } from '@warmpool/host-agent/unpack/unpack-job.ts';

const MIB = 1024 * 1024;
const FILE_BYTES = 20_000;
const missing =
  missingForImages() ?? (spawnSync('fincore', ['--version']).status === 0 ? undefined : 'fincore (util-linux-extra)');
if (missing !== undefined) process.stdout.write(`skipped: read-ahead: ${missing}\n`);

const FILES: TarEntry[] = Array.from({ length: 200 }, (_, index) => ({
  name: `lib/${index}.js`,
  body: Buffer.alloc(FILE_BYTES, index),
}));

describe.skipIf(missing !== undefined)('reading code ahead', () => {
  let hands: MounterUnderTest;
  beforeEach(async () => {
    hands = await MounterUnderTest.start();
  });
  afterEach(() => hands.close());

  interface Entry {
    image: string;
    tree: string;
    list: string;
    /** The tree as this process sees it. */
    seen: string;
  }

  async function mounted(entries: TarEntry[]): Promise<Entry> {
    const entry = join(hands.folder, 'entry');
    const bytes = tarOf(entries);
    const job = { format: 'tar' as const, fileName: '', digest: digestOf(bytes), limits: DEFAULT_UNPACK_LIMITS };
    await runUnpackJob({ ...job, folder: entry, imageName: 'a.erofs' }, once(bytes));
    const tree = join(entry, 'tree');
    await hands.mounter.mountImage(entry, 'a.erofs', tree);
    return { image: join(entry, 'a.erofs'), tree, list: join(entry, 'list'), seen: hands.namespace.inside(tree) };
  }

  /** Until the processes of the helper have ended. */
  async function done(request: Promise<void>): Promise<void> {
    await request;
    const task = `/proc/${hands.mounter.pid}/task/${hands.mounter.pid}/children`;
    const isRunning = (pid: string): boolean => !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    await expect.poll(() => readFileSync(task, 'utf8').split(' ').filter(Boolean).some(isRunning)).toBe(false);
  }

  const listed = async ({ image, tree, list }: Entry): Promise<[from: number, end: number][]> => {
    await done(hands.mounter.listReads(image, tree, list));
    const lines = readFileSync(list, 'utf8').trimEnd().split('\n');
    return lines.map((line) => line.split(' ').map(Number) as [number, number]);
  };

  /** Memory has nothing of the image any more, nor of what was read of it by way of the tree. */
  async function forgotten({ image, tree }: Entry): Promise<void> {
    await done(hands.mounter.forget(tree));
    const keepNothing = [`of=${image}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'];
    execFileSync('dd', keepNothing);
  }

  const bytesInMemory = ({ image }: Entry): number =>
    Number(execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', image], { encoding: 'utf8' }));
  const read = ({ seen }: Entry, files: TarEntry[]): void => {
    for (const { name } of files) readFileSync(join(seen, name));
  };

  test('brings what a load has read of an image back into memory, and little more', async () => {
    const entry = await mounted(FILES);
    const [some, others] = [[...FILES.slice(10, 30), ...FILES.slice(150, 160)], FILES.slice(60, 70)];
    read(entry, some);
    const ranges = await listed(entry);
    expect(ranges.map(([from, end]) => end - from).slice(0, 2)).toEqual([20 * 5 * 4096, 10 * 5 * 4096]);
    expect(ranges.at(-1)?.[1]).toBe(statSync(entry.image).size);
    expect(ranges).toHaveLength(3);

    await forgotten(entry);
    expect(bytesInMemory(entry)).toBeLessThan(30 * FILE_BYTES);
    await done(hands.mounter.readAhead(entry.image, entry.list));
    const listedBytes = ranges.reduce((sum, [from, end]) => sum + end - from, 0);
    await expect.poll(() => bytesInMemory(entry)).toBeGreaterThanOrEqual(listedBytes);
    const before = bytesInMemory(entry);
    expect(before).toBeLessThan(statSync(entry.image).size / 2);
    read(entry, some);
    expect(bytesInMemory(entry)).toBe(before);
    read(entry, others);
    expect(bytesInMemory(entry)).toBeGreaterThan(before);
  });

  test('does not count what others than loads have read before', async () => {
    const entry = await mounted(FILES);
    read(entry, FILES);
    await done(hands.mounter.forget(entry.tree));
    read(entry, FILES.slice(0, 1));
    expect(await listed(entry)).toMatchObject([
      [4096, 4096 * 6],
      [expect.any(Number), statSync(entry.image).size],
    ]);
  });

  test('leaves large files to the kernel, which reads them in long stretches', async () => {
    const large = { name: 'data.bin', body: Buffer.alloc(2 * MIB, 1) };
    const entry = await mounted([large, ...FILES]);
    read(entry, [large]);
    expect(await listed(entry)).toHaveLength(1);
  });

  test('of what is gone is no fault, and leaves no list', async () => {
    const [image, list] = [join(hands.folder, 'no-such-image'), join(hands.folder, 'list')];
    await done(hands.mounter.listReads(image, hands.folder, list));
    await done(hands.mounter.readAhead(image, list));
    await done(hands.mounter.forget(join(hands.folder, 'no-such-tree')));
    await hands.mounter.ping();
    expect(existsSync(list)).toBe(false);
  });

  test('begins with a list that the host-agent makes after a load', async () => {
    const node = await CsiNode.start();
    try {
      const host = await node.host();
      const code = node.node.stored('many.tar', 'many', 200);
      const list = join(node.folder, 'cache/sha256', `${code.digest.slice(7)}.tar`, 'read-ahead');
      // the first brings the code, which is then prepared; a later one is listed
      await expect
        .poll(
          async () => {
            const podUid = `pod-${randomUUID()}`;
            const pod = await node.publishedPod(podUid);
            const events = await host.events();
            await events.podState(podUid, 'standby');
            await events.close();
            expect(await host.load(pod, code)).toMatchObject({ statusCode: 200 });
            readFileSync(join(pod.folder, 'code/lib/150.js'));
            await node.removePod(podUid);
            return existsSync(list);
          },
          { timeout: 30_000, interval: 500 },
        )
        .toBe(true);
      expect(readFileSync(list, 'utf8')).toMatch(/^(\d+ \d+\n)+$/);
    } finally {
      await node.close();
    }
  });
});
