import { once } from 'node:events';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { reply } from '@warmpool/host-agent/testing/fake-agent.ts';
import type { HostAgentProcess } from '@warmpool/host-agent/testing/host-agent-process.ts';
import { grantFor, loadRequest } from '@warmpool/host-agent/testing/host-agent-process.ts';
import type { FakeAgent } from '@warmpool/host-agent/testing/fake-agent.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';

let node: NodeUnderTest;
let folder: string;
beforeEach(() => {
  node = new NodeUnderTest();
  folder = node.folder;
});
afterEach(() => node.close());

describe('a load', () => {
  test('brings code from the store into a standby pod, and the second pod gets it from the cache', async () => {
    const host = await node.host();
    const [first, second] = [await node.pod('pod-1'), await node.pod('pod-2')];
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.podState('pod-2', 'standby');
    const code = node.stored('hello.tar');

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
    const host = await node.host();
    const pod = await node.pod('pod-1');
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    const code = node.stored('hello.tar');

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
    const host = await node.host();
    const pod = await node.pod('pod-1');
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    const code = node.stored('hello.tar');
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
    const host = await node.host(['--allow-loopback-sources']);
    const pod = await node.pod('pod-1');
    await (await host.events()).podState('pod-1', 'standby');
    const url = 'http://user:pass@127.0.0.1:1/x.tar?signature=canary-query';
    const answer = await host.load(pod, { url, digest: `sha256:${'0'.repeat(64)}`, format: 'tar' });
    expect(answer).toMatchObject({ statusCode: 502, body: { code: 'StoreUnreachable' } });
    expect(answer.body['message']).toContain('http://127.0.0.1:1');
    expect(`${JSON.stringify(answer.body)}${host.output}`).not.toMatch(/canary-query|user:pass/);
  });

  test('whose pod ends in the middle answers PodLost and the pod is reported as failed with its last words', async () => {
    const host = await node.host();
    const pod = await node.pod('pod-1', {
      onLoad: (_body, response) => {
        writeFileSync(
          join(folder, 'pods', 'pod-1', 'termination.json'),
          JSON.stringify({ reason: 'Crashed', message: 'the heap is full', atUnixMs: Date.now() }),
        );
        response.socket?.destroy();
      },
    });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    expect(await host.load(pod, node.stored('hello.tar'))).toMatchObject({
      statusCode: 502,
      body: { code: 'PodLost' },
    });
    expect(await events.podState('pod-1', 'failed')).toMatchObject({
      pod: { lastError: { code: 'Crashed', message: 'the heap is full' } },
    });
    expect(pod.loads).toHaveLength(1);
    await events.close();
  });

  test('that the agent never answers ends as InitTimeout, and the user error of an agent is passed on', async () => {
    const host = await node.host();
    const stuck = await node.pod('pod-1', { onLoad: () => {} });
    const faulty = await node.pod('pod-2', {
      onLoad: (_body, response) =>
        reply(response, 422, { code: 'UserCodeError', message: 'boom', phase: 'import', stack: 'at index.js:1' }),
    });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.podState('pod-2', 'standby');
    const code = node.stored('hello.tar');
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
    const origin = await node.server((_request, response) => {
      requests++;
      asked.resolve(() => response.end(bytes));
    });
    const host = await node.host(['--allow-loopback-sources']);
    const pods = await Promise.all(['pod-1', 'pod-2', 'pod-3'].map((podUid) => node.pod(podUid)));
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
  const socket = createConnection(join(host.folder, 'host-agent.sock'));
  await once(socket, 'connect');
  const body = JSON.stringify(request);
  socket.write(
    `POST /v1/load HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return () => socket.destroy();
}
