import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { CodeServer } from './code-server.ts';
import { type Kubectl, until } from './kubectl.ts';
import { createPool, type Platform, POOL_NAMESPACE, startProduct } from './product.ts';

const access = inject('cluster');
const own = access?.own;
const POOL = 'cpu-resize';
const LIMIT_MS = 120_000;

/** What the kernel says of its container: with cgroup v2 one file, with v1 two. */
const SOURCE = `
import fs from 'node:fs';
const read = (file) => fs.readFileSync('/sys/fs/cgroup/' + file, 'utf8').trim();
export const handler = () => {
  const [quota, period] = fs.existsSync('/sys/fs/cgroup/cpu.max')
    ? read('cpu.max').split(' ')
    : [read('cpu/cpu.cfs_quota_us'), read('cpu/cpu.cfs_period_us')];
  return { cpus: Number(quota) / Number(period) };
};
`;

describe.skipIf(own === undefined)('a claim that asks for CPU, on a real node', () => {
  let kubectl: Kubectl;
  let platform: Platform;
  let codeServer: CodeServer;

  beforeAll(async () => {
    ({ kubectl, platform, codeServer } = await startProduct(access, POOL));
    await createPool(kubectl, POOL, 2, { cpuLimit: '200m' });
  });
  afterAll(async () => {
    if (own === undefined) return;
    await kubectl.run(['delete', 'warmpools', POOL, '--namespace', POOL_NAMESPACE]);
    await codeServer[Symbol.asyncDispose]();
  });

  const claimed = async (claimId: string, more: object) => {
    const { status, claim, body } = await platform.claim(POOL, {
      claimId,
      function: { name: 'cpu', version: '1', tenant: 'acme' },
      code: codeServer.add('index.mjs', SOURCE),
      handler: 'index.handler',
      ...more,
    });
    expect([status, body]).toMatchObject([201, { state: 'ready' }]);
    const cpus = async (): Promise<number> => {
      const answer = await request(claim.address?.url ?? '', { method: 'POST', body: '{}' });
      return ((await answer.body.json()) as { cpus: number }).cpus;
    };
    return { claim, cpus };
  };

  test('gets it from the kubelet while it runs, and is told so; one that does not ask keeps what the pool gives', async () => {
    const raised = await claimed('raised', { resources: { cpu: '1' } });
    expect(raised.claim.resize).toMatchObject({ cpu: '1' });
    expect(['requested', 'accepted', 'done']).toContain(raised.claim.resize?.state);
    let now = raised.claim;
    await until('the node to have raised it', LIMIT_MS, async () => {
      now = (await platform.get('raised')).claim;
      if (now.resize?.state === 'done') return true;
      throw new Error(JSON.stringify(now.resize));
    });
    expect(await raised.cpus()).toBe(1);
    const kept = await claimed('kept', {});
    expect([kept.claim.resize, await kept.cpus()]).toEqual([undefined, 0.2]);
    await Promise.all(['raised', 'kept'].map((claimId) => platform.release(claimId)));
  });
});
