import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeAgent, reply } from '@warmpool/host-agent/testing/fake-agent.ts';
import { grantFor, HostAgentProcess, loadRequest } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';

let folder: string;
const started: { end: (signal: NodeJS.Signals) => Promise<unknown> }[] = [];
const agents: FakeAgent[] = [];
const servers: Server[] = [];

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'warmpool-host-agent-')));
});

afterEach(async () => {
  for (const host of started.splice(0)) await host.end('SIGKILL');
  for (const agent of agents.splice(0)) await agent.stop();
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function aHost(flags: string[] = [], env: Record<string, string> = {}): Promise<HostAgentProcess> {
  const host = await HostAgentProcess.start(folder, flags, env);
  started.push(host);
  return host;
}

async function aPod(podUid: string, options: Partial<Parameters<typeof FakeAgent.start>[0]> = {}): Promise<FakeAgent> {
  const agent = await FakeAgent.start({ podsDir: join(folder, 'pods'), podUid, ...options });
  agents.push(agent);
  return agent;
}

/** Puts an archive in the folder store and returns how a claim names it. */
function stored(key: string, source = 'exports.handler = () => 1'): Parameters<HostAgentProcess['load']>[1] {
  const bytes = tarOf([{ name: 'index.js', body: source }]);
  writeFileSync(join(folder, 'store', key), bytes);
  return { key, digest: digestOf(bytes), format: 'tar' };
}

async function aServer(onRequest: Parameters<typeof createServer>[1]): Promise<string> {
  const server = createServer(onRequest as never);
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('a load', () => {
  test('brings code from the store into a standby pod, and the second pod gets it from the cache', async () => {
    const host = await aHost();
    const [first, second] = [await aPod('pod-1'), await aPod('pod-2')];
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.podState('pod-2', 'standby');
    const code = stored('hello.tar');

    const fetched = await host.load(first, code);
    expect(fetched).toMatchObject({
      statusCode: 200,
      body: {
        claimId: 'claim-of-pod-1',
        podUid: 'pod-1',
        codeSource: 'fetched',
        address: { host: '127.0.0.1', port: 4000 },
      },
    });
    expect(await host.load(second, code)).toMatchObject({ statusCode: 200, body: { codeSource: 'cache' } });

    const tree = first.loads[0]?.code.path ?? '';
    expect(readdirSync(tree)).toEqual(['index.js']);
    expect(readlinkSync(join(first.folder, 'code'))).toBe(tree);
    expect(second.loads[0]).toMatchObject({ code: { path: tree }, env: { SECRET: 'canary-value' } });
    await events.until((event) => event.type === 'CACHED' && event.digest === code.digest);
    await events.podState('pod-1', 'ready');
    expect((await host.request('GET', '/v1/cache')).body).toMatchObject({
      entries: [{ digest: code.digest, inUse: 2 }],
    });
    const { body: metrics } = await host.request<string>('GET', '/metrics');
    expect(metrics).toContain('warmpool_host_cache_hits_total 1');
    expect(metrics).toContain('warmpool_host_load_seconds_count{code="ok",source="fetched"} 1');
    expect(host.output).not.toContain('canary-value');
    await events.close();
  });

  test('is let through once: a second claim, a used grant, a wrong key and an old epoch are refused', async () => {
    const host = await aHost();
    const pod = await aPod('pod-1');
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    const code = stored('hello.tar');

    const forged = { ...grantFor(pod), signature: '0'.repeat(64) };
    expect(await host.load(pod, code, { grant: forged })).toMatchObject({
      statusCode: 403,
      body: { code: 'BadGrant', message: expect.stringContaining('signature') as string },
    });
    expect(await host.load({ podUid: 'pod-1', epoch: 'older' }, code)).toMatchObject({
      statusCode: 409,
      body: { code: 'PodNotStandby' },
    });
    expect(await host.load({ podUid: 'pod-9', epoch: 'e' }, code)).toMatchObject({
      statusCode: 404,
      body: { code: 'PodUnknown', message: 'no pod pod-9 is on this node' },
    });
    const expired = grantFor(pod, { expiresAtUnixMs: Date.now() - 1 });
    expect(await host.load(pod, code, { grant: expired })).toMatchObject({ body: { code: 'BadGrant' } });

    const grant = grantFor(pod);
    expect(await host.load(pod, code, { grant })).toMatchObject({ statusCode: 200 });
    expect(await host.load(pod, code, { grant })).toMatchObject({
      statusCode: 403,
      body: { code: 'BadGrant', message: 'the load grant has been used before' },
    });
    const other = grantFor(pod, { claimId: 'another-claim' });
    expect(await host.load(pod, code, { grant: other })).toMatchObject({
      statusCode: 409,
      body: { code: 'PodNotStandby', message: expect.stringContaining('another claim') as string },
    });
    expect(pod.loads).toHaveLength(1);
    await events.close();
  });

  test('of code that is missing, wrong or no archive says so, and the pod never hears of it', async () => {
    const host = await aHost();
    const pod = await aPod('pod-1');
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    const code = stored('hello.tar');
    writeFileSync(join(folder, 'store', 'page.tar'), '<html>not found</html>');
    const page = { key: 'page.tar', digest: digestOf(Buffer.from('<html>not found</html>')), format: 'tar' };

    expect(await host.load(pod, { ...code, key: 'absent.tar' })).toMatchObject({
      statusCode: 404,
      body: { code: 'ObjectNotFound', message: expect.stringContaining('absent.tar') as string },
    });
    const wrong = `sha256:${'0'.repeat(64)}`;
    expect(await host.load(pod, { ...code, digest: wrong })).toMatchObject({
      statusCode: 422,
      body: { code: 'DigestMismatch', message: expect.stringContaining(wrong) as string },
    });
    expect(await host.load(pod, page)).toMatchObject({ statusCode: 422, body: { code: 'BadArchive' } });
    expect(await host.load(pod, { ...code, key: undefined, url: 'http://127.0.0.1:1/x.tar' } as never)).toMatchObject({
      statusCode: 403,
      body: { code: 'SourceNotAllowed' },
    });
    expect(pod.loads).toHaveLength(0);
    expect(readdirSync(join(folder, 'cache', 'tmp'))).toEqual([]);
    expect(readdirSync(join(folder, 'cache', 'sha256'))).toEqual([]);
    await events.close();
  });

  test('from a store that refuses connections names its endpoint and not the query of the URL', async () => {
    const host = await aHost(['--allow-loopback-sources']);
    const pod = await aPod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    const url = 'http://user:pass@127.0.0.1:1/x.tar?signature=canary-query';
    const answer = await host.load(pod, { url, digest: `sha256:${'0'.repeat(64)}`, format: 'tar' });
    expect(answer).toMatchObject({ statusCode: 502, body: { code: 'StoreUnreachable' } });
    expect(answer.body['message']).toContain('http://127.0.0.1:1');
    expect(`${JSON.stringify(answer.body)}${host.output}`).not.toMatch(/canary-query|user:pass/);
  });

  test('whose pod ends in the middle answers PodLost and the pod is reported as failed with its last words', async () => {
    const host = await aHost();
    const pod = await aPod('pod-1', {
      onLoad: (_body, response) => {
        writeFileSync(
          join(folder, 'pods', 'pod-1', 'termination.json'),
          JSON.stringify({ code: 'OutOfMemory', message: 'the process used more than 256 MiB' }),
        );
        response.socket?.destroy();
      },
    });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    expect(await host.load(pod, stored('hello.tar'))).toMatchObject({ statusCode: 502, body: { code: 'PodLost' } });
    expect(await events.podState('pod-1', 'failed')).toMatchObject({
      pod: { lastError: { code: 'OutOfMemory', message: 'the process used more than 256 MiB' } },
    });
    expect(pod.loads).toHaveLength(1);
    await events.close();
  });

  test('that the agent never answers ends as InitTimeout, and the user error of an agent is passed on', async () => {
    const host = await aHost();
    const stuck = await aPod('pod-1', { onLoad: () => {} });
    const faulty = await aPod('pod-2', {
      onLoad: (_body, response) =>
        reply(response, 422, { code: 'UserCodeError', message: 'boom', phase: 'import', stack: 'at index.js:1' }),
    });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.podState('pod-2', 'standby');
    const code = stored('hello.tar');
    const deadlineUnixMs = Date.now() + 1_500;
    expect(await host.load(stuck, code, { deadlineUnixMs })).toMatchObject({
      statusCode: 504,
      body: { code: 'InitTimeout', message: expect.stringContaining('did not finish importing') as string },
    });
    await events.podState('pod-1', 'failed');
    expect(await host.load(faulty, code)).toMatchObject({
      statusCode: 422,
      body: { code: 'UserCodeError', message: 'boom', phase: 'import', stack: 'at index.js:1' },
    });
    await events.close();
  });

  test('is fetched once for many pods, and goes on when the first caller hangs up', async () => {
    let requests = 0;
    const bytes = tarOf([{ name: 'index.js', body: 'x' }]);
    const asked = Promise.withResolvers<() => void>();
    const origin = await aServer((_request, response) => {
      requests++;
      asked.resolve(() => response.end(bytes));
    });
    const host = await aHost(['--allow-loopback-sources']);
    const pods = await Promise.all(['pod-1', 'pod-2', 'pod-3'].map((podUid) => aPod(podUid)));
    const events = await host.events();
    for (const pod of pods) await events.podState(pod.podUid, 'standby');
    const code = { url: `${origin}/x.tar`, digest: digestOf(bytes), format: 'tar' };

    const hungUp = fetchAndHangUp(host, loadRequest(pods[0] as FakeAgent, code));
    const answer = await asked.promise;
    const others = pods.slice(1).map((pod) => host.load(pod, code));
    const inFlight = async (): Promise<string | undefined> => {
      const { body } = await host.request<string>('GET', '/metrics');
      return /^warmpool_host_loads_in_flight (\d+)$/m.exec(body)?.[1];
    };
    await expect.poll(inFlight).toBe('3');
    (await hungUp)();
    await expect.poll(inFlight).toBe('2');
    answer();
    for (const other of await Promise.all(others)) expect(other.statusCode).toBe(200);
    expect(requests).toBe(1);
    expect(pods[0]?.loads).toHaveLength(0);
    await events.close();
  });
});

/** Sends a load and returns what closes the connection under it. */
async function fetchAndHangUp(host: HostAgentProcess, request: unknown): Promise<() => void> {
  const { createConnection } = await import('node:net');
  const socket = createConnection(join(host.folder, 'host-agent.sock'));
  await once(socket, 'connect');
  const body = JSON.stringify(request);
  socket.write(
    `POST /v1/load HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return () => socket.destroy();
}

describe('pods', () => {
  test('are reported when they become standby, crash, and vanish', async () => {
    const host = await aHost();
    const events = await host.events();
    const pod = await aPod('pod-1', { keepAliveMs: 1_000 });
    await events.podState('pod-1', 'standby');
    await pod.crash();
    await events.podState('pod-1', 'failed');
    rmSync(pod.folder, { recursive: true });
    await events.until((event) => event.type === 'POD_GONE' && event.podUid === 'pod-1');
    await events.close();
  });

  test('that close idle connections stay standby', async () => {
    const host = await aHost();
    const pod = await aPod('pod-1', { keepAliveMs: 100 });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.until((event) => event.type === 'PING', 6_000);
    expect(events.seen.filter((event) => event.type === 'POD' && event.pod.state !== 'standby')).toEqual([]);
    expect(await host.load(pod, stored('hello.tar'))).toMatchObject({ statusCode: 200 });
    await events.close();
  });

  test('answer status, kill and logs, and a stuck one is killed by its watchdog', async () => {
    const host = await aHost();
    const pod = await aPod('pod-1');
    const stuck = await aPod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    stuck.isStuck = true;
    const watchdogKills: unknown[] = [];
    const watchdog = createServer((_request, response) => {
      watchdogKills.push(1);
      reply(response, 202, { state: 'terminated' });
    });
    servers.push(watchdog);
    await once(watchdog.listen(join(stuck.folder, 'watchdog.sock')), 'listening');

    const status = await host.request('POST', '/v1/status:batchGet', { podUids: ['pod-1', 'pod-2', 'pod-9'] });
    expect(status.body).toMatchObject({
      items: [
        { podUid: 'pod-1', found: true, status: { state: 'standby' } },
        { podUid: 'pod-2', found: true },
        { podUid: 'pod-9', found: false },
      ],
    });
    const kill = await host.request('POST', '/v1/kill:batch', {
      items: [{ podUid: 'pod-1', requestId: 'r1' }, { podUid: 'pod-2', mode: 'force' }, { podUid: 'pod-9' }],
    });
    expect(kill.body).toMatchObject({
      items: [
        { podUid: 'pod-1', statusCode: 202, state: 'draining' },
        { podUid: 'pod-2', statusCode: 202, state: 'terminated' },
        { podUid: 'pod-9', statusCode: 404, state: 'unknown' },
      ],
    });
    expect(pod.kills).toEqual([{ requestId: 'r1', mode: 'graceful', graceMs: 1000, reason: '' }]);
    expect(watchdogKills).toHaveLength(1);
    const logs = await host.request('GET', '/v1/pods/pod-1/logs?requestId=r1&limitBytes=100');
    expect(logs.body).toMatchObject({ lines: [{ text: 'asked /v1/logs?limitBytes=100&requestId=r1' }] });
    expect(await host.request('GET', '/v1/pods/pod-9/logs')).toMatchObject({ statusCode: 404 });
  });
});

describe('the process', () => {
  test('killed and started again knows its pods, their code and its cache, and removes what it left half done', async () => {
    const first = await aHost();
    const pod = await aPod('pod-1');
    await (await first.events()).podState('pod-1', 'standby');
    const code = stored('hello.tar');
    expect(await first.load(pod, code)).toMatchObject({ statusCode: 200 });
    await first.end('SIGKILL');
    writeFileSync(join(folder, 'cache', 'tmp', 'job-7'), 'half');

    const second = await aHost(['--cache-bytes', '1']);
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
      const host = await aHost(['--cache-dir', join(disk, 'cache')]);
      const pod = await aPod('pod-1');
      await (await host.events()).podState('pod-1', 'standby');
      const answer = await host.load(pod, stored('big.tar', 'x'.repeat(3_000_000)));
      expect(answer).toMatchObject({ statusCode: 507, body: { code: 'CacheFull' } });
      expect(readdirSync(join(disk, 'cache', 'tmp'))).toEqual([]);
      expect(await host.load(pod, stored('small.tar'))).toMatchObject({ statusCode: 200 });
      await host.end('SIGTERM');
    } finally {
      await run('umount', [disk]);
    }
  });

  test('drains on SIGTERM: refuses new loads, ends the one in flight, exits 0', async () => {
    const answer = Promise.withResolvers<() => void>();
    const host = await aHost();
    const pod = await aPod('pod-1', {
      onLoad: ({ claimId }, response) => {
        const timings = { importMs: 1, totalMs: 1 };
        answer.resolve(() => reply(response, 200, { state: 'ready', claimId, epoch: pod.epoch, port: 1, timings }));
      },
    });
    const other = await aPod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    const code = stored('hello.tar');
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
    const host = await aHost();
    const exited = once(host.child, 'exit');
    host.child.stdin?.end();
    expect(await exited).toEqual([0, null]);
  });

  test('refuses an unknown flag and a missing one with a sentence and exit code 2', async () => {
    await expect(aHost(['--cache-sise', '1'])).rejects.toThrow(/Unknown option '--cache-sise'/);
    await expect(aHost(['--listen', '0.0.0.0:80'])).rejects.toThrow(/--listen: must be a loopback address/);
  });
});

describe('requests that are wrong', () => {
  test('answer 400, 404 and 413 with the field and a sentence', async () => {
    const host = await aHost(['--body-limit-bytes', '2000']);
    expect(await host.request('POST', '/v1/load', '{"grant":')).toMatchObject({
      statusCode: 400,
      body: { code: 'InvalidJson' },
    });
    expect(await host.request('POST', '/v1/status:batchGet', { podUids: [], extra: 1 })).toMatchObject({
      statusCode: 400,
      body: { code: 'InvalidRequest', details: [{ field: 'podUids' }, { field: 'extra' }] },
    });
    expect(await host.request('POST', '/v1/load', 'x'.repeat(3000))).toMatchObject({ statusCode: 413 });
    expect(await host.request('GET', '/v2/load?secret=1')).toMatchObject({
      statusCode: 404,
      body: { message: 'there is no GET /v2/load' },
    });
  });
});

async function mountTmpfs(path: string, size: string): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  await run('mkdir', ['-p', path]);
  return (await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path])) === 0 && existsSync(path);
}

async function run(command: string, args: string[]): Promise<number> {
  const { spawn } = await import('node:child_process');
  const [code] = (await once(spawn(command, args, { stdio: 'ignore' }), 'exit')) as [number];
  return code;
}
