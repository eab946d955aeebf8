import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { reply } from '@warmpool/host-agent/testing/fake-agent.ts';

let node: NodeUnderTest;
let folder: string;
beforeEach(() => {
  node = new NodeUnderTest();
  folder = node.folder;
});
afterEach(() => node.close());

describe('the process', () => {
  test('killed and started again knows its pods, their code and its cache, and removes what it left half done', async () => {
    const first = await node.host();
    const pod = await node.pod('pod-1');
    await (await first.events()).podState('pod-1', 'standby');
    const code = node.stored('hello.tar');
    expect(await first.load(pod, code)).toMatchObject({ statusCode: 200 });
    await first.end('SIGKILL');
    writeFileSync(join(folder, 'cache', 'tmp', 'job-7'), 'half');

    const second = await node.host(['--cache-bytes', '1']);
    const events = await second.events();
    expect(events.seen.length === 0 ? await events.until(() => true) : events.seen[0]).toMatchObject({
      type: 'SNAPSHOT',
      node: 'node-1',
      pods: [{ podUid: 'pod-1', state: 'ready', claimId: 'claim-of-pod-1' }],
      digests: [code.digest],
    });
    expect(readdirSync(join(folder, 'cache', 'tmp'))).toEqual([]);
    // in use, so it stays although the limit is a single byte
    expect((await second.request('GET', '/v1/cache')).body).toMatchObject({ entries: [{ inUse: 1 }] });
    rmSync(pod.folder, { recursive: true });
    await events.until((event) => event.type === 'POD_GONE');
    await events.close();
  });

  test('refuses a full disk cleanly: CacheFull, and nothing is left', async (context) => {
    const disk = join(folder, 'small-disk');
    const mounted = await mountTmpfs(disk, '1m');
    if (!mounted) {
      process.stdout.write('skipped: disk full: no permission to mount a tmpfs\n');
      return context.skip();
    }
    try {
      const host = await node.host(['--cache-dir', join(disk, 'cache')]);
      const pod = await node.pod('pod-1');
      await (await host.events()).podState('pod-1', 'standby');
      const answer = await host.load(pod, node.stored('big.tar', 'x'.repeat(3_000_000)));
      expect(answer).toMatchObject({ statusCode: 507, body: { code: 'CacheFull' } });
      expect(readdirSync(join(disk, 'cache', 'tmp'))).toEqual([]);
      expect(await host.load(pod, node.stored('small.tar'))).toMatchObject({ statusCode: 200 });
      await host.end('SIGTERM');
    } finally {
      await run('umount', [disk]);
    }
  });

  test('drains on SIGTERM: refuses new loads, ends the one in flight, exits 0', async () => {
    const answer = Promise.withResolvers<() => void>();
    const host = await node.host();
    const pod = await node.pod('pod-1', {
      onLoad: ({ claimId }, response) => {
        const timings = { importMs: 1, totalMs: 1 };
        answer.resolve(() => reply(response, 200, { state: 'ready', claimId, epoch: pod.epoch, port: 1, timings }));
      },
    });
    const other = await node.pod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    const code = node.stored('hello.tar');
    const inFlight = host.load(pod, code);
    const finish = await answer.promise;
    host.child.kill('SIGTERM');
    await expect.poll(async () => (await host.request('GET', '/readyz')).statusCode).toBe(503);
    expect(await host.load(other, code)).toMatchObject({ statusCode: 503, body: { code: 'Draining' } });
    const exited = once(host.child, 'exit');
    finish();
    expect(await inFlight).toMatchObject({ statusCode: 200 });
    expect(await exited).toEqual([0, null]);
  });

  test('ends when whoever started it is gone', async () => {
    const host = await node.host();
    const exited = once(host.child, 'exit');
    host.child.stdin?.end();
    expect(await exited).toEqual([0, null]);
  });

  test('refuses an unknown flag and a missing one with a sentence and exit code 2', async () => {
    await expect(node.host(['--cache-sise', '1'])).rejects.toThrow(/Unknown option '--cache-sise'/);
    await expect(node.host(['--listen', '0.0.0.0:80'])).rejects.toThrow(/--listen: must be a loopback address/);
  });
});

async function mountTmpfs(path: string, size: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  await run('mkdir', ['-p', path]);
  return (await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])) === 0 && existsSync(path);
}

async function run(command: string, args: string[]): Promise<number> {
  const [code] = (await once(spawn(command, args, { stdio: 'ignore' }), 'exit')) as [number];
  return code;
}
