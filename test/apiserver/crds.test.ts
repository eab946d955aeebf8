import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { aWarmPool, aWarmPoolClaim } from '../contract/kube-client/objects.ts';
import { AdminApi, type Answer } from './admin-api.ts';

const access = inject('apiserver');
const API = '/apis/warmpool.dev/v1alpha1';
const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io';

describe.skipIf(access === undefined)('the custom resource definitions', () => {
  let admin: AdminApi;
  let namespace: string;

  beforeAll(async () => {
    if (access === undefined) throw new Error('no apiserver on this machine');
    admin = new AdminApi(access);
    namespace = await admin.newNamespace();
  });
  afterAll(async () => {
    await admin[Symbol.asyncDispose]();
  });

  const path = (plural: string, rest = ''): string => `${API}/namespaces/${namespace}/${plural}${rest}`;
  const createPool = (name: string, spec: Record<string, unknown> = {}): Promise<Answer> =>
    admin.send('POST', path('warmpools'), {
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPool',
      ...aWarmPool(name, spec),
    });
  const createClaim = (name: string, spec: Record<string, unknown> = {}): Promise<Answer> =>
    admin.send('POST', path('warmpoolclaims'), {
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPoolClaim',
      ...aWarmPoolClaim(name, spec),
    });
  const patch = (plural: string, name: string, body: object): Promise<Answer> =>
    admin.send('PATCH', path(plural, name), body, { 'content-type': 'application/merge-patch+json' });

  const container = { name: 'runtime', image: 'none' };

  test.each([
    ['the least', {}],
    ['no standby pods', { replicas: 0 }],
    ['the most standby pods', { replicas: 5000 }],
    ['a rollout that makes new pods before it removes old ones', { rollout: { maxUnavailable: 0, maxSurge: 1 } }],
    [
      'every section',
      {
        standby: { preImport: ['requests', '@scope/name'], rehearse: false, readySeconds: 5 },
        claims: {
          onEmpty: 'Reject',
          queueLength: 0,
          maxWaitSeconds: 0,
          ttlSecondsAfterReady: 60,
          idleTimeoutSeconds: 0,
        },
        rollout: { maxUnavailable: 2, maxSurge: 1 },
      },
    ],
    [
      'a pod template with fields that only Kubernetes knows',
      {
        template: {
          metadata: { labels: { team: 'a' } },
          spec: {
            containers: [{ ...container, resources: { requests: { cpu: '100m' } }, tty: true }],
            tolerations: [{ operator: 'Exists' }],
          },
        },
      },
    ],
  ])('take a pool with %s', async (what, spec) => {
    const { status, body } = await createPool(`good-${what.toLowerCase().replaceAll(/[^a-z]+/g, '-')}`, spec);
    expect(body).toMatchObject({ kind: 'WarmPool' });
    expect(status).toBe(201);
  });

  test.each([
    ['spec.runtime', { runtime: undefined }],
    ['spec.runtime.name', { runtime: { name: 'Node JS', version: '24' } }],
    ['spec.runtime.name', { runtime: { name: '', version: '24' } }],
    ['spec.runtime.version', { runtime: { name: 'nodejs', version: '../24' } }],
    ['spec.runtime.version', { runtime: { name: 'nodejs' } }],
    ['spec.replicas', { replicas: -1 }],
    ['spec.replicas', { replicas: 5001 }],
    ['spec.replicas', { replicas: 'three' }],
    ['spec.replicas', { replicas: 1.5 }],
    ['spec.template', { template: undefined }],
    ['spec.template.spec.containers', { template: { spec: { containers: [] } } }],
    ['spec.template.spec.containers', { template: { spec: {} } }],
    ['spec.template.spec.containers[0].name', { template: { spec: { containers: [{ image: 'none' }] } } }],
    ['spec.standby.preImport', { standby: { preImport: Array.from({ length: 65 }, (_, index) => `m${index}`) } }],
    ['spec.standby.preImport[0]', { standby: { preImport: [''] } }],
    ['spec.standby.rehearse', { standby: { rehearse: 'yes' } }],
    ['spec.standby.readySeconds', { standby: { readySeconds: 0 } }],
    ['standby.sidecars', { standby: { sidecars: [{ name: 'not-there', reload: 'HTTP' }] } }],
    ['standby.sidecars', { standby: { sidecars: [{ name: 'runtime', reload: 'HTTP' }] } }],
    ['spec.standby.sidecars[0].reload', { standby: { sidecars: [{ name: 'proxy', reload: 'Magic' }] } }],
    ['spec.claims.onEmpty', { claims: { onEmpty: 'Panic' } }],
    ['spec.claims.queueLength', { claims: { queueLength: 100_001 } }],
    ['spec.claims.maxWaitSeconds', { claims: { maxWaitSeconds: 601 } }],
    ['spec.claims.idleTimeoutSeconds', { claims: { idleTimeoutSeconds: -1 } }],
    ['spec.rollout', { rollout: { maxUnavailable: 0 } }],
    ['spec.rollout.maxUnavailable', { rollout: { maxUnavailable: -1, maxSurge: 1 } }],
    ['spec.rollout.maxSurge', { rollout: { maxSurge: 5001 } }],
  ])('refuse a pool for its %s: %j', async (field, spec) => {
    const { status, body } = await createPool('bad', spec);
    expect(body['message']).toContain(field);
    expect(status).toBe(422);
  });

  test.each([
    ['spec.poolName', { poolName: '' }],
    ['spec.poolName', { poolName: 'p'.repeat(64) }],
    ['spec.function.tenant', { function: { name: 'hello', version: '1' } }],
    ['spec.code.digest', { code: { key: 'a.tar', digest: 'sha256:abc', format: 'tar' } }],
    ['spec.code.format', { code: { key: 'a.tar', digest: `sha256:${'0'.repeat(64)}`, format: 'rar' } }],
    ['spec.code', { code: { digest: `sha256:${'0'.repeat(64)}`, format: 'tar' } }],
    ['spec.code', { code: { key: 'a', url: 'https://b', digest: `sha256:${'0'.repeat(64)}`, format: 'tar' } }],
    ['spec.kind', { kind: 'daemon' }],
    ['spec.handler', { handler: undefined }],
    ['spec.envFrom[0].secretName', { envFrom: [{}] }],
    ['spec.requestTimeoutMs', { requestTimeoutMs: 0 }],
    ['spec.deadlineSeconds', { deadlineSeconds: 601 }],
    ['spec.ttlSeconds', { ttlSeconds: -1 }],
  ])('refuse a claim for its %s: %j', async (field, spec) => {
    const { status, body } = await createClaim('bad', spec);
    expect(body['message']).toContain(field);
    expect(status).toBe(422);
  });

  test('say in words that exactly one source of code must be given', async () => {
    const { body } = await createClaim('bad', { code: { digest: `sha256:${'0'.repeat(64)}`, format: 'tar' } });
    expect(body['message']).toContain('exactly one of url and key must be given');
  });

  test('let nobody change the runtime of a pool, or anything of a claim', async () => {
    await createPool('fixed');
    const pool = await patch('warmpools', '/fixed', { spec: { runtime: { version: '26' } } });
    expect(pool.status).toBe(422);
    expect(pool.body['message']).toContain('runtime cannot be changed; make another pool');
    expect((await patch('warmpools', '/fixed', { spec: { replicas: 9 } })).status).toBe(200);

    await createClaim('fixed');
    const claim = await patch('warmpoolclaims', '/fixed', { spec: { handler: 'other.handler' } });
    expect(claim.status).toBe(422);
    expect(claim.body['message']).toContain('a claim cannot be changed; make another');
  });

  test('let kubectl scale and an autoscaler read and set the size of a pool', async () => {
    await createPool('scaled', { replicas: 2 });
    await patch('warmpools', '/scaled/status', { status: { replicas: 1, selector: 'warmpool.dev/pool=scaled' } });
    const scale = await admin.send('GET', path('warmpools', '/scaled/scale'));
    expect(scale.body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 2 },
      status: { replicas: 1, selector: 'warmpool.dev/pool=scaled' },
    });
    expect((await patch('warmpools', '/scaled/scale', { spec: { replicas: 7 } })).status).toBe(200);
    expect((await admin.send('GET', path('warmpools', '/scaled'))).body).toMatchObject({ spec: { replicas: 7 } });
  });

  test.each([
    ['warmpools', 'shown', ['Name', 'Runtime', 'Desired', 'Standby', 'Claimed', 'Ready', 'Age']],
    ['warmpoolclaims', 'shown', ['Name', 'Pool', 'Phase', 'Pod', 'Age']],
  ])('print %s in a table that a person can read', async (plural, name, columns) => {
    await (plural === 'warmpools' ? createPool(name) : createClaim(name));
    const { body } = await admin.send('GET', path(plural, `/${name}`), undefined, { accept: TABLE });
    const names = (body['columnDefinitions'] as { name: string }[]).map((column) => column.name);
    expect(names).toEqual(expect.arrayContaining(columns));
    const [row] = body['rows'] as { cells: unknown[] }[];
    expect(row?.cells[0]).toBe(name);
  });

  test('answer to their short names', async () => {
    const { body } = await admin.send('GET', API);
    const resources = body['resources'] as { name: string; shortNames?: string[] }[];
    const shortNames = Object.fromEntries(resources.map((resource) => [resource.name, resource.shortNames]));
    expect(shortNames['warmpools']).toEqual(['wp']);
    expect(shortNames['warmpoolclaims']?.length).toBeGreaterThan(0);
  });
});
