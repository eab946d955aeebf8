import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import type { WarmPoolClaimSpec } from '@warmpool/protocol/warm-pool.ts';
import {
  PODS,
  SECRETS,
  WARM_POOL_CLAIMS,
  type Pod,
  type Secret,
  type WarmPoolClaim,
} from '@warmpool/operator/core/resources.ts';
import type { Stored } from '@warmpool/operator/engine/kube-client.ts';
import { aPool, SOME_DIGEST } from '../support/builders.ts';
import type { OperatorProcess } from './stand-in/operator-process.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const POOL = 'nodejs';
const LIMIT_MS = 30_000;

describe.skipIf(access === undefined)('a WarmPoolClaim on the real apiserver', () => {
  let world: StandInWorld;
  let operator: OperatorProcess;
  beforeEach(async () => {
    world = await StandInWorld.start(access);
    operator = await world.startOperator();
    await operator.untilServing();
    await world.createPool(aPool(POOL, { replicas: 2 }));
    await world.untilFull(POOL, 2);
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  test('becomes Ready with an address, and its pod belongs to it', async () => {
    const created = await createClaim(world, 'hello');
    const claim = await untilPhase(world, 'hello', 'Ready');
    expect(claim.status).toMatchObject({ source: 'standby', nodeName: 'node-1' });
    expect(claim.status?.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(claim.status?.conditions).toMatchObject([{ type: 'Ready', status: 'True', reason: 'Ready' }]);

    const pod = await world.kube.get<Pod>(PODS, world.namespace, claim.status?.podName ?? '');
    expect(pod.metadata.uid).toBe(claim.status?.podUid);
    expect(pod.metadata.ownerReferences).toMatchObject([
      { kind: 'WarmPoolClaim', name: 'hello', uid: created.metadata.uid, controller: true },
    ]);
    expect(world.processes.loads).toMatchObject([{ podUid: pod.metadata.uid }]);
  });

  test('is answered with the same instance by an operator that was started anew', async () => {
    await createClaim(world, 'hello');
    const before = await untilPhase(world, 'hello', 'Ready');
    await operator.kill9();
    const next = await world.startOperator();
    await next.untilServing();
    await createClaim(world, 'another');
    await untilPhase(world, 'another', 'Ready');
    const after = await world.kube.get<WarmPoolClaim>(WARM_POOL_CLAIMS, world.namespace, 'hello');
    expect(after.status).toEqual(before.status);
    expect(world.processes.loads.length).toBe(2);
  });

  test('for a pool that does not exist says so in its status', async () => {
    await createClaim(world, 'lost', { poolName: 'no-such-pool' });
    const claim = await untilPhase(world, 'lost', 'Failed');
    expect(claim.status?.conditions).toMatchObject([{ type: 'Ready', status: 'False', reason: 'PoolNotFound' }]);
    expect(claim.status?.conditions?.[0]?.message).toContain('no-such-pool');
    expect(world.processes.loads).toEqual([]);
  });

  test('takes env from secrets, and their values appear in no object and no log', async () => {
    const canary = `canary-${crypto.randomUUID()}`;
    await world.kube.create<Secret>(SECRETS, world.namespace, {
      metadata: { name: 'database' },
      data: { DATABASE_PASSWORD: Buffer.from(canary).toString('base64') },
    });
    await createClaim(world, 'with-secret', { envFrom: [{ secretName: 'database' }] });
    await untilPhase(world, 'with-secret', 'Ready');
    expect(world.processes.loads).toMatchObject([{ env: { DATABASE_PASSWORD: canary } }]);

    const written = [await everyObject(world), await operator.log()].join('\n');
    expect(written).toContain('with-secret');
    expect(written).not.toContain(canary);
    expect(written).not.toContain(Buffer.from(canary).toString('base64'));
  });

  test('without its secret says which one is missing', async () => {
    await createClaim(world, 'no-secret', { envFrom: [{ secretName: 'not-there' }] });
    await until(
      'the status to name the secret',
      LIMIT_MS,
      async () => JSON.stringify((await claimObject(world, 'no-secret')).status ?? {}).includes('not-there'),
      async () => JSON.stringify((await claimObject(world, 'no-secret')).status),
    );
    expect(world.processes.loads).toEqual([]);
  });
});

function createClaim(
  world: StandInWorld,
  name: string,
  change: Partial<WarmPoolClaimSpec> = {},
): Promise<Stored<WarmPoolClaim>> {
  const spec = {
    poolName: POOL,
    function: { name: 'hello', version: '1', tenant: 'acme' },
    code: { key: 'functions/hello.tar.zst', digest: SOME_DIGEST, format: 'tar.zst' as const },
    handler: 'index.handler',
    ...change,
  };
  // what is left out is filled in by the apiserver
  const object = { metadata: { name }, spec: spec as WarmPoolClaimSpec };
  return world.kube.create<WarmPoolClaim>(WARM_POOL_CLAIMS, world.namespace, object);
}

function claimObject(world: StandInWorld, name: string): Promise<Stored<WarmPoolClaim>> {
  return world.kube.get<WarmPoolClaim>(WARM_POOL_CLAIMS, world.namespace, name);
}

async function untilPhase(world: StandInWorld, name: string, phase: string): Promise<Stored<WarmPoolClaim>> {
  await until(
    `claim ${name} to be ${phase}`,
    LIMIT_MS,
    async () => (await claimObject(world, name)).status?.phase === phase,
    async () => JSON.stringify((await claimObject(world, name)).status),
  );
  return claimObject(world, name);
}

/** As text; all that a tenant without access to secrets could read. */
async function everyObject(world: StandInWorld): Promise<string> {
  const core = ['pods', 'events', 'configmaps'].map((plural) => `/api/v1/namespaces/${world.namespace}/${plural}`);
  const groups = ['events.k8s.io/v1', 'coordination.k8s.io/v1', 'warmpool.dev/v1alpha1', 'warmpool.dev/v1alpha1'];
  const plurals = ['events', 'leases', 'warmpools', 'warmpoolclaims'];
  const grouped = plurals.map((plural, index) => `/apis/${groups[index]}/namespaces/${world.namespace}/${plural}`);
  const answers = await Promise.all([...core, ...grouped].map((path) => world.admin.send('GET', path)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  return JSON.stringify(answers.map(({ body }) => body));
}
