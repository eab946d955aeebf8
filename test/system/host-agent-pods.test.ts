import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { reply } from '@warmpool/host-agent/testing/fake-agent.ts';

let node: NodeUnderTest;
beforeEach(() => {
  node = new NodeUnderTest();
});
afterEach(() => node.close());

describe('pods', () => {
  test('are reported when they become standby, crash, and vanish', async () => {
    const host = await node.host();
    const events = await host.events();
    const pod = await node.pod('pod-1', { keepAliveMs: 1_000 });
    await events.podState('pod-1', 'standby');
    await pod.crash();
    await events.podState('pod-1', 'failed');
    rmSync(pod.folder, { recursive: true });
    await events.until((event) => event.type === 'POD_GONE' && event.podUid === 'pod-1');
    await events.close();
  });

  test('that close idle connections stay standby', async () => {
    const host = await node.host();
    const pod = await node.pod('pod-1', { keepAliveMs: 100 });
    const events = await host.events();
    await events.podState('pod-1', 'standby');
    await events.until((event) => event.type === 'PING', 6_000);
    expect(events.seen.filter((event) => event.type === 'POD' && event.pod.state !== 'standby')).toEqual([]);
    expect(await host.load(pod, node.stored('hello.tar'))).toMatchObject({ statusCode: 200 });
    await events.close();
  });

  test('answer status, kill and logs, and a stuck one is killed by its watchdog', async () => {
    const host = await node.host();
    const pod = await node.pod('pod-1');
    const stuck = await node.pod('pod-2');
    await (await host.events()).podState('pod-2', 'standby');
    stuck.isStuck = true;
    const watchdogKills: unknown[] = [];
    await node.server(
      (_request, response) => {
        watchdogKills.push(1);
        reply(response, 202, { state: 'terminated' });
      },
      join(stuck.folder, 'watchdog.sock'),
    );

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

describe('requests that are wrong', () => {
  test('answer 400, 404 and 413 with the field and a sentence', async () => {
    const host = await node.host(['--body-limit-bytes', '2000']);
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
