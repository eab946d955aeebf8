import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { NodeUnderTest } from '@warmpool/host-agent/testing/node-under-test.ts';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { digestOf } from '@warmpool/host-agent/testing/unpacking.ts';
import type { PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import { prefetchSchema, type Prefetch } from '@warmpool/protocol/prefetch-api.ts';
import { aNodePool, LocalWorld } from '../support/local-world.ts';

describe('on a node', () => {
  const node = new NodeUnderTest();
  afterEach(() => node.close());

  test('a claim for code that is being prefetched joins it: one download', async () => {
    const bytes = tarOf([{ name: 'index.js', body: 'exports.handler = () => 1' }]);
    const gate = Promise.withResolvers<void>();
    let downloads = 0;
    const url = await node.server((_request, response) => {
      downloads++;
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 100));
      void gate.promise.then(() => response.end(bytes.subarray(100)));
    });
    const host = await node.host(['--allow-loopback-sources']);
    const pod = await node.pod('pod-1');
    const events = await host.events();
    await events.podState('pod-1', 'standby', 30_000);
    const code = { url: `${url}/a.tar`, digest: digestOf(bytes), format: 'tar' };
    expect((await host.request('POST', '/v1/prefetch', { code })).statusCode).toBe(202);
    const state = async (): Promise<string | undefined> =>
      (await host.request<PrefetchList>('GET', `/v1/prefetch?digest=${code.digest}`)).body.items[0]?.state;
    await expect.poll(state, { timeout: 30_000 }).toBe('fetching');
    const loading = host.load(pod, code);
    await expect
      .poll(async () => (await host.request<string>('GET', '/metrics')).body, { timeout: 30_000 })
      .toContain('warmpool_host_loads_in_flight 1');
    gate.resolve();
    expect(await loading).toMatchObject({ statusCode: 200, body: { codeSource: 'fetched' } });
    await expect.poll(state, { timeout: 30_000 }).toBe('cached');
    expect(downloads).toBe(1);
    await events.close();
  });
});

describe('in local mode', () => {
  let world: LocalWorld;
  beforeAll(async () => {
    world = await LocalWorld.start([aNodePool(1)]);
  });
  afterAll(() => world.stop());

  async function ended(id: string): Promise<Prefetch> {
    return vi.waitFor(
      async () => {
        const prefetch = prefetchSchema.parse((await world.call('GET', `/v1/prefetch/${id}`)).body);
        if (prefetch.state === 'running') throw new Error('it is under way');
        return prefetch;
      },
      { timeout: 30_000 },
    );
  }

  test('code is brought before it is claimed, and the claim fetches nothing', async () => {
    const claim = world.claimFor({ 'index.js': 'exports.handler = () => 1' });
    const wish = { code: claim.code, namespace: 'default', pools: ['nodejs'] };
    const started = await world.call('POST', '/v1/prefetch', wish);
    expect(started).toMatchObject({ status: 202, body: { namespace: 'default', nodes: [{ node: 'local' }] } });
    const { id } = prefetchSchema.parse(started.body);
    expect(await ended(id)).toMatchObject({ state: 'done', cachedNodes: 1, failedNodes: 0 });
    const answer = await world.tryClaim('nodejs', claim);
    expect(answer).toMatchObject({ status: 201, body: { timings: { fetchMs: 0, unpackMs: 0 } } });
    await world.releaseAll();
  });

  test('what is not there fails with the store’s words, a wrong field is named', async () => {
    const { code } = world.claimFor({ 'index.js': '' });
    const missing = { ...code, key: 'not-there.tar' };
    const started = await world.call('POST', '/v1/prefetch', {
      code: { ...missing, digest: `sha256:${'0'.repeat(64)}` },
    });
    const { id } = prefetchSchema.parse(started.body);
    expect(await ended(id)).toMatchObject({ state: 'failed', nodes: [{ error: { code: 'ObjectNotFound' } }] });
    expect(await world.call('POST', '/v1/prefetch', { code, pools: ['nodejs'] })).toMatchObject({
      status: 400,
      body: { code: 'InvalidRequest', details: [{ field: 'pools' }] },
    });
    expect((await world.call('GET', `/v1/prefetch/${'0'.repeat(32)}`)).status).toBe(404);
  });
});
