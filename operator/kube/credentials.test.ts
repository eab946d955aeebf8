import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { DispatcherOptions } from '@kubernetes/client-node';
import { Agent } from 'undici';
import { VirtualClock } from '../engine/testing/fake-clock.ts';
import { PooledKubeConfig, tokenKubeConfig } from './config.ts';
import { Credentials } from './credentials.ts';

const REFRESH_MS = 60_001;

/** A server whose token and CA the test replaces, as a rotation on disk does. */
function aWorld() {
  const clock = new VirtualClock();
  const server = { url: 'https://10.0.0.1:6443/prefix/', token: 'first', caPem: 'ca-1' };
  const pools: { options: DispatcherOptions; agent: Agent }[] = [];
  const world = {
    clock,
    server,
    pools,
    loads: 0,
    isBroken: false,
    credentials: new Credentials({
      clock,
      loadConfig() {
        world.loads += 1;
        if (world.isBroken) throw new Error('token file is gone');
        return tokenKubeConfig(server);
      },
      connect(options) {
        const agent = new Agent();
        pools.push({ options, agent });
        return agent;
      },
    }),
  };
  return world;
}

describe('credentials', () => {
  test('are read once and then handed out without reading anything', async () => {
    const { credentials, pools } = aWorld();
    const first = await credentials.current();
    expect(first).toMatchObject({ origin: 'https://10.0.0.1:6443', pathPrefix: '/prefix' });
    expect(first.headers).toEqual({ Authorization: 'Bearer first' });
    expect(credentials.current()).toBe(first);
    expect(pools).toHaveLength(1);
  });

  test('of calls that start together are read once', async () => {
    const world = aWorld();
    const all = await Promise.all(Array.from({ length: 10 }, async () => world.credentials.current()));
    expect(new Set(all).size).toBe(1);
    expect(world.loads).toBe(1);
  });

  test('that are old are refreshed behind the call that notices', async () => {
    const world = aWorld();
    const first = await world.credentials.current();
    await world.clock.advance(REFRESH_MS);
    expect(world.credentials.current()).toBe(first);
    await world.clock.advance(1);
    expect(await world.credentials.current()).not.toBe(first);
  });

  test('that were refused are read anew, by one of the calls that were refused', async () => {
    const world = aWorld();
    const first = await world.credentials.current();
    world.server.token = 'second';
    const renewed = await Promise.all([1, 2, 3].map(() => world.credentials.renewed(first)));
    expect(renewed.map(({ headers }) => headers['Authorization'])).toEqual(Array(3).fill('Bearer second'));
    expect(await world.credentials.renewed(first)).toBe(renewed[0]);
    expect(world.loads).toBe(2);
  });

  test('keep their connections while only the token changes', async () => {
    const world = aWorld();
    const first = await world.credentials.current();
    world.server.token = 'second';
    expect((await world.credentials.renewed(first)).dispatcher).toBe(first.dispatcher);
  });

  test('move to new connections when the CA changes, and let calls on the old ones finish', async () => {
    const world = aWorld();
    const first = await world.credentials.current();
    world.server.caPem = 'ca-2';
    const second = await world.credentials.renewed(first);
    expect(second.dispatcher).not.toBe(first.dispatcher);
    expect(world.pools.map(({ agent }) => agent.closed)).toEqual([true, false]);
  });

  test('that cannot be read now are used as they were', async () => {
    const world = aWorld();
    const first = await world.credentials.current();
    world.isBroken = true;
    await expect(world.credentials.renewed(first)).rejects.toThrow('token file is gone');
    expect((await world.credentials.current()).headers).toEqual(first.headers);
  });
});

describe('the credentials of a pod', () => {
  let folder: string;
  const mounted = (name: string): string => join(folder, 'var/run/secrets/kubernetes.io/serviceaccount', name);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warmpool-credentials-'));
    mkdirSync(mounted(''), { recursive: true });
    writeFileSync(mounted('ca.crt'), 'ca-1');
    writeFileSync(mounted('token'), 'first');
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '10.0.0.1');
    vi.stubEnv('KUBERNETES_SERVICE_PORT', '443');
  });
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  test('follow the token file as the kubelet rotates it', async () => {
    const credentials = new Credentials({
      clock: new VirtualClock(),
      loadConfig() {
        const config = new PooledKubeConfig();
        config.loadFromCluster(folder);
        return config;
      },
      connect: () => new Agent(),
    });
    const first = await credentials.current();
    expect(first.origin).toBe('https://10.0.0.1');
    expect(first.headers).toEqual({ Authorization: 'Bearer first' });
    writeFileSync(mounted('token'), 'second');
    const second = await credentials.renewed(first);
    expect(second.headers).toEqual({ Authorization: 'Bearer second' });
    // no connection is lost for a token
    expect(second.dispatcher).toBe(first.dispatcher);
    writeFileSync(mounted('ca.crt'), 'ca-2');
    writeFileSync(mounted('token'), 'third');
    expect((await credentials.renewed(second)).dispatcher).not.toBe(first.dispatcher);
  });
});
