import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { CodeServer } from './code-server.ts';
import { type Kubectl, until } from './kubectl.ts';
import { mountsOfNode, processesOfNode } from './node-processes.ts';
import { createPool, type Platform, POOL_NAMESPACE, startProduct, untilFull, untilRolledOut } from './product.ts';

const access = inject('cluster');
const own = access?.own;
const POOL = 'node-product';
const REPLICAS = 4;
const LIMIT_MS = 60_000;
const SECRET = `canary-${crypto.randomUUID()}`;

/** Looks around from inside an instance, and tries to change what it finds. */
const PROBE = `
import fs from 'node:fs';
import path from 'node:path';
const attempt = (change) => { try { change(); return 'done'; } catch (error) { return error.code; } };
export const handler = () => {
  const folder = import.meta.dirname;
  const file = import.meta.filename;
  return {
    secret: process.env.SECRET,
    user: process.getuid(),
    files: fs.readdirSync(folder),
    volume: fs.readdirSync('/run/warmpool'),
    token: fs.existsSync('/var/run/secrets/kubernetes.io/serviceaccount'),
    tmp: [fs.readdirSync('/tmp'), attempt(() => fs.writeFileSync('/tmp/own', 'x'))],
    tries: {
      root: attempt(() => fs.writeFileSync('/own', '')),
      overwrite: attempt(() => fs.writeFileSync(file, '')),
      append: attempt(() => fs.appendFileSync(file, ' ')),
      create: attempt(() => fs.writeFileSync(path.join(folder, 'new'), '')),
      remove: attempt(() => fs.unlinkSync(file)),
      rename: attempt(() => fs.renameSync(file, file + '2')),
      chmod: attempt(() => fs.chmodSync(file, 0o777)),
    },
  };
};
`;

interface Probe {
  secret: string;
  user: number;
  files: string[];
  volume: string[];
  token: boolean;
  /** What was in /tmp, and what came of writing there. */
  tmp: [string[], string];
  tries: Record<string, string>;
}

describe.skipIf(own === undefined)('claims on a real cluster', () => {
  let kubectl: Kubectl;
  let platform: Platform;
  let codeServer: CodeServer;

  beforeAll(async () => {
    ({ kubectl, platform, codeServer } = await startProduct(access, 'product-test'));
    await createPool(kubectl, POOL, REPLICAS);
  });
  afterAll(async () => {
    if (own === undefined) return;
    await kubectl.run(['delete', 'warmpools', POOL, '--namespace', POOL_NAMESPACE]);
    await codeServer[Symbol.asyncDispose]();
  });

  const claimBody = (claimId: string, env: Record<string, string> = {}): object => ({
    claimId,
    function: { name: 'probe', version: '1', tenant: 'acme' },
    code: codeServer.add('index.mjs', PROBE),
    handler: 'index.handler',
    env,
  });
  const claimed = async (claimId: string, env?: Record<string, string>): Promise<Claim> => {
    const { status, body, claim } = await platform.claim(POOL, claimBody(claimId, env));
    expect([status, body]).toMatchObject([201, { state: 'ready' }]);
    return claim;
  };
  const probe = async (claim: Claim): Promise<Probe> => {
    const answer = await request(claim.address?.url ?? '', { method: 'POST', body: '{}' });
    expect(answer.statusCode).toBe(200);
    return (await answer.body.json()) as Probe;
  };
  const killInNode = async (command: string): Promise<void> => {
    const pids = await processesOfNode(own?.nodeFolder ?? '', command);
    expect(pids.length).toBeGreaterThan(0);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
  };
  const restarts = async (namespace: string): Promise<number> => {
    const pods = await kubectl.list<{ status: { containerStatuses?: { restartCount: number }[] } }>(namespace, 'pods');
    return pods
      .flatMap(({ status }) => status.containerStatuses ?? [])
      .reduce((sum, each) => sum + each.restartCount, 0);
  };

  test('an instance has its env and its code, cannot change the code, and has no token', async () => {
    const claim = await claimed('inside', { SECRET });
    const seen = await probe(claim);
    expect(seen).toMatchObject({ secret: SECRET, user: 65532, files: ['index.mjs'], token: false });
    // the mount refuses everybody; where the kernel looks at modes first, those refuse this user (root: test/system/host-agent-csi-isolation)
    const results = Object.entries(seen.tries);
    expect(results.filter(([, result]) => result !== 'EROFS' && result !== 'EACCES')).toEqual([]);
    expect([seen.tries['overwrite'], seen.tries['root']]).toEqual(['EROFS', 'EROFS']);
    expect(seen.tmp).toEqual([[], 'done']);

    const other = await probe(await claimed('beside'));
    expect(other.tmp).toEqual([[], 'done']);
    expect(other.secret).toBeUndefined();
    expect(other.files).toEqual(['index.mjs']);
  });

  test('no env value is in any object of the cluster or in a log of the programs', async () => {
    const kinds = 'pods,warmpools,warmpoolclaims,events,events.events.k8s.io,configmaps,secrets,leases';
    expect(await kubectl.run(['get', kinds, '--all-namespaces', '--output=yaml'])).not.toContain(SECRET);
    for (const [namespace, what] of [
      ['warmpool-system', 'deployment/warmpool-operator'],
      ['warmpool-node', 'daemonset/warmpool-host-agent'],
    ] as const) {
      const log = await kubectl.run(['logs', what, '--namespace', namespace]);
      expect(log).toContain('"msg"');
      expect(log).not.toContain(SECRET);
    }
  });

  test('a released instance is gone, and its mounts with it', async () => {
    const { pod } = await claimed('released');
    const uid = pod?.uid ?? 'none';
    const mounts = async (): Promise<string[]> =>
      (await mountsOfNode(own?.nodeFolder ?? '')).filter((line) => line.includes(uid));
    expect((await mounts()).some((line) => line.includes('/code '))).toBe(true);
    expect((await platform.release('released')).status).toBe(200);
    await until('the mounts to be gone', LIMIT_MS, async () => (await mounts()).length === 0);
    await untilFull(kubectl, POOL, REPLICAS);
  });

  test('instances outlive a killed host-agent, and the next one loads', async () => {
    const before = await claimed('before-host-agent', { SECRET: 'kept' });
    const restartsBefore = await restarts('warmpool-node');
    await killInNode('host-agent/main.ts');
    expect((await probe(before)).secret).toBe('kept');
    await until('another host-agent', LIMIT_MS, async () => (await restarts('warmpool-node')) > restartsBefore);
    await untilRolledOut(kubectl);
    const after = await claimed('after-host-agent');
    expect(after.pod?.uid).not.toBe(before.pod?.uid);
    expect((await probe(before)).tries['overwrite']).toBe('EROFS');
  });

  test('a killed operator forgets no claim: the same one gets the same instance', async () => {
    const before = await claimed('before-operator', { SECRET: 'kept' });
    const restartsBefore = await restarts('warmpool-system');
    await killInNode('operator/main.ts');
    expect((await probe(before)).secret).toBe('kept');
    await until('another operator', LIMIT_MS, async () => (await restarts('warmpool-system')) > restartsBefore);
    await until('claims to be served', LIMIT_MS, async () => {
      const again = await platform.claim(POOL, claimBody('before-operator', { SECRET: 'kept' }));
      return again.claim.pod?.uid === before.pod?.uid && again.claim.state === 'ready';
    });
    const after = await claimed('after-operator');
    expect(after.pod?.uid).not.toBe(before.pod?.uid);
  });
});
