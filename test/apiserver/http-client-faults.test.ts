import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { SECRETS, type Secret } from '../../operator/core/resources.ts';
import { systemClock } from '../../operator/engine/clock.ts';
import { tokenKubeConfig } from '../../operator/kube/config.ts';
import { HttpKubeClient } from '../../operator/kube/http-kube-client.ts';
import { aSecret } from '../contract/kube-client/objects.ts';
import { expectRefusal, refusal } from '../contract/kube-client/world.ts';
import { AdminApi } from './admin-api.ts';
import { FaultProxy } from './fault-proxy.ts';

const access = inject('apiserver');

describe.skipIf(access === undefined)('the HTTP client, when the way to the apiserver breaks', () => {
  let proxy: FaultProxy;
  let client: HttpKubeClient;
  let namespace: string;
  let tokens: string[];
  let observed: string[];

  beforeEach(async () => {
    if (access === undefined) throw new Error('no apiserver on this machine');
    await using admin = new AdminApi(access);
    namespace = await admin.newNamespace();
    proxy = await FaultProxy.start(access);
    tokens = [];
    observed = [];
    client = new HttpKubeClient({
      clock: systemClock,
      random: Math.random,
      observe: ({ method, resource, status, seconds }) => {
        expect(seconds).toBeGreaterThan(0);
        observed.push(`${method} ${resource} ${status}`);
      },
      loadConfig: () => tokenKubeConfig({ url: proxy.url, token: tokens.shift() ?? access.token }),
    });
  });
  afterEach(async () => {
    await client.close();
    await proxy[Symbol.asyncDispose]();
  });

  const create = (name: string, timeoutMs?: number): Promise<Secret> =>
    client.create(SECRETS, namespace, aSecret(name), timeoutMs === undefined ? {} : { timeoutMs });

  test('a write whose answer is lost is ambiguous, was done, and is not sent again', async () => {
    proxy.next('write', (call) => call.forwardWithoutAnswer());
    const error = await refusal(create('a'));
    expect(error).toMatchObject({ status: 0, reason: 'Network', isAmbiguous: true });
    expect(proxy.countOf('write')).toBe(1);
    expect((await client.get(SECRETS, namespace, 'a')).metadata.name).toBe('a');
  });

  test('a conditional write that was lost is told by 409 when it is sent again', async () => {
    const { resourceVersion } = (await create('a')).metadata;
    const patch = (): Promise<Secret> =>
      client.patch(SECRETS, namespace, 'a', { metadata: { resourceVersion, labels: { app: 'x' } } });
    proxy.next('write', (call) => call.forwardWithoutAnswer());
    expect((await refusal(patch())).isAmbiguous).toBe(true);
    await expectRefusal(patch(), 409, 'Conflict');
  });

  test.each([
    [429, 'TooManyRequests', false],
    [500, 'InternalError', true],
  ])('a write refused with %i is not sent again', async (status, reason, isAmbiguous) => {
    proxy.next('write', (call) => call.refuse(status, reason, 3));
    const error = await expectRefusal(create('a'), status, reason);
    expect(error).toMatchObject({ isAmbiguous, retryAfterSeconds: 3 });
    expect(proxy.countOf('write')).toBe(1);
  });

  test('a read is sent again after 429, as late as Retry-After says, and after a reset', async () => {
    await create('a');
    proxy.next('get', (call) => call.refuse(429, 'TooManyRequests', 1));
    proxy.next('get', (call) => call.reset());
    const startMs = systemClock.monotonic();
    expect((await client.get(SECRETS, namespace, 'a')).metadata.name).toBe('a');
    expect(systemClock.monotonic() - startMs).toBeGreaterThan(1_000);
    expect(proxy.countOf('get')).toBe(3);
  });

  test('a read is given up after a few attempts, and is not sent again after 500', async () => {
    proxy.next('get', (call) => call.reset(), 10);
    await expectRefusal(client.get(SECRETS, namespace, 'a'), 0, 'Network');
    expect(proxy.countOf('get')).toBe(5);
    proxy.next('list', (call) => call.refuse(500, 'InternalError'));
    await expectRefusal(client.list(SECRETS, namespace), 500, 'InternalError');
    expect(proxy.countOf('list')).toBe(1);
  });

  test('a refusal that asks for more time than is left is given back at once', async () => {
    proxy.next('get', (call) => call.refuse(429, 'TooManyRequests', 60));
    const startMs = systemClock.monotonic();
    await expectRefusal(client.get(SECRETS, namespace, 'a', { timeoutMs: 5_000 }), 429, 'TooManyRequests');
    expect(systemClock.monotonic() - startMs).toBeLessThan(1_000);
  });

  test('a call without an answer fails with Timeout after its time', async () => {
    proxy.next('write', () => new Promise<void>(() => undefined));
    const error = await expectRefusal(create('a', 300), 0, 'Timeout');
    expect(error.isAmbiguous).toBe(true);
  });

  test('a call is given up as soon as its caller aborts', async () => {
    const controller = new AbortController();
    proxy.next('get', () => controller.abort());
    await expectRefusal(client.get(SECRETS, namespace, 'a', { signal: controller.signal }), 0, 'Aborted');
  });

  test('a token that was replaced is read again after 401, once, for writes too', async () => {
    tokens.push('out-of-date');
    expect((await create('a')).metadata.name).toBe('a');
    expect(proxy.countOf('write')).toBe(2);
    await create('b');
    expect(proxy.countOf('write')).toBe(3);
  });

  test('a token that is wrong for good fails with 401', async () => {
    tokens.push('wrong', 'wrong-too');
    await expectRefusal(create('a'), 401, 'Unauthorized');
    expect(proxy.countOf('write')).toBe(2);
  });

  test('every request that is sent is told to the metrics, the lost and the refused too', async () => {
    proxy.next('get', (call) => call.reset());
    proxy.next('write', (call) => call.refuse(429, 'TooManyRequests'));
    await refusal(create('a'));
    await refusal(client.get(SECRETS, namespace, 'a'));
    expect(observed).toEqual(['create secrets 429', 'get secrets 0', 'get secrets 404']);
  });

  test('calls share kept-alive connections, and however many there are at once, a bounded number', async () => {
    for (let index = 0; index < 20; index += 1) await client.list(SECRETS, namespace);
    // A connection is free again a moment after its answer is there, so the next call may open a second one.
    expect(proxy.connectionCount).toBeLessThanOrEqual(2);
    await Promise.all(Array.from({ length: 200 }, () => client.list(SECRETS, namespace)));
    expect(proxy.connectionCount).toBeLessThanOrEqual(48);
  });

  test('a watch whose connection is dead ends with Timeout 5 s after the server should have ended it', async () => {
    const { resourceVersion } = await client.list(SECRETS, namespace);
    const read = async (): Promise<void> => {
      const { signal } = new AbortController();
      for await (const _event of client.watch(SECRETS, namespace, { resourceVersion, timeoutSeconds: 1, signal }));
    };
    const ended = refusal(read());
    await proxy.untilWatching();
    for (const watch of proxy.openWatches) watch.stall();
    const startMs = systemClock.monotonic();
    expect(await ended).toMatchObject({ status: 0, reason: 'Timeout' });
    expect(systemClock.monotonic() - startMs).toBeLessThan(7_000);
  });

  test('a reader that leaves a watch closes its connection', async () => {
    const { resourceVersion } = await client.list(SECRETS, namespace);
    await create('a');
    const { signal } = new AbortController();
    for await (const _event of client.watch(SECRETS, namespace, { resourceVersion, timeoutSeconds: 60, signal })) break;
    const deadline = Date.now() + 5_000;
    while (proxy.openWatches.length > 0) {
      expect(Date.now()).toBeLessThan(deadline);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  });
});
