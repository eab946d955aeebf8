import { expect, test } from 'vitest';
import {
  EVENTS,
  type Lease,
  LEASES,
  type Pod,
  PODS,
  WARM_POOL_CLAIMS,
  WARM_POOLS,
  type WarmPool,
  type WarmPoolClaim,
} from '../../../operator/core/resources.ts';
import { aLease, anEvent, aPod, aWarmPool, aWarmPoolClaim } from './objects.ts';
import { type ContractWorld, expectRefusal } from './world.ts';

export function kinds(world: () => ContractWorld): void {
  test('the status of a pod is written through its subresource and nowhere else', async () => {
    const { client, namespace } = world();
    const created = await client.create<Pod>(PODS, namespace, { ...aPod('a'), status: { podIP: '10.0.0.9' } });
    expect(created.status).toMatchObject({ phase: 'Pending' });
    expect(created.status?.podIP).toBeUndefined();
    await client.patch(PODS, namespace, 'a', { status: { podIP: '10.0.0.1' } });
    const status = { phase: 'Running', podIP: '10.0.0.2', conditions: [{ type: 'Ready', status: 'True' }] };
    const patch = { metadata: { labels: { along: '1' } }, spec: { hostNetwork: true }, status };
    const patched = await client.patchStatus<Pod>(PODS, namespace, 'a', patch);
    expect(patched.spec).toEqual(created.spec);
    expect(patched.metadata.labels).toEqual({ along: '1' });
    expect(patched.status).toMatchObject({ phase: 'Running', podIP: '10.0.0.2' });
    expect(patched.status?.conditions?.[0]).toMatchObject({ type: 'Ready', status: 'True' });
  });

  test('what a pod runs cannot be changed', async () => {
    const { client, namespace } = world();
    await client.create(PODS, namespace, aPod('a'));
    const error = await expectRefusal(
      client.patch(PODS, namespace, 'a', { spec: { hostNetwork: true } }),
      422,
      'Invalid',
    );
    expect(error.message).toContain('spec');
  });

  test('a pod without containers is refused with the field', async () => {
    const { client, namespace } = world();
    const error = await expectRefusal(
      client.create(PODS, namespace, aPod('a', {}, { containers: [] })),
      422,
      'Invalid',
    );
    expect(error.message).toContain('spec.containers');
  });

  test('a lease keeps microseconds, is renewed under a condition, and refuses milliseconds', async () => {
    const { client, namespace } = world();
    const renewTime = '2026-01-02T03:04:05.000006Z';
    const spec = {
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      acquireTime: renewTime,
      renewTime,
      leaseTransitions: 0,
    };
    const lease = await client.create<Lease>(LEASES, namespace, aLease('leader', spec));
    expect(lease.spec).toEqual(spec);
    const { resourceVersion } = lease.metadata;
    const renew = (renewTime: string): Promise<Lease> =>
      client.patch<Lease>(LEASES, namespace, 'leader', { metadata: { resourceVersion }, spec: { renewTime } });
    await expectRefusal(renew('2026-01-02T03:04:07.000Z'), 422, 'Invalid');
    const bad = aLease('other', { renewTime: '2026-01-02T03:04:07.000Z' });
    await expectRefusal(client.create(LEASES, namespace, bad), 400, 'BadRequest');
    expect((await renew('2026-01-02T03:04:07.123456Z')).spec.renewTime).toBe('2026-01-02T03:04:07.123456Z');
    await expectRefusal(renew('2026-01-02T03:04:09.123456Z'), 409, 'Conflict');
  });

  test('a lease has no status to write', async () => {
    const { client, namespace } = world();
    await client.create(LEASES, namespace, aLease('leader'));
    await expectRefusal(client.patchStatus(LEASES, namespace, 'leader', { status: {} }), 404, 'NotFound');
  });

  test('an event is stored whole, and refused with the field when one is missing', async () => {
    const { client, namespace } = world();
    const event = anEvent('a', namespace);
    expect(await client.create(EVENTS, namespace, event)).toMatchObject({ ...event, kind: 'Event' });
    for (const field of ['eventTime', 'reportingController', 'reportingInstance', 'action', 'reason']) {
      const partial = { ...anEvent('b', namespace), [field]: undefined };
      const error = await expectRefusal(client.create(EVENTS, namespace, partial), 422, 'Invalid');
      expect(error.message).toContain(field);
    }
  });

  test('a pool is stored with its defaults, and with what its pod template says beyond our schema', async () => {
    const { client, namespace } = world();
    const podSpec = { containers: [{ name: 'runtime', tty: true }], priorityClassName: 'high' };
    const pool = aWarmPool('pool', { template: { spec: podSpec } });
    const { spec } = await client.create<WarmPool>(WARM_POOLS, namespace, pool);
    expect(spec).toMatchObject({ replicas: 1, claims: { onEmpty: 'Wait' }, rollout: { maxUnavailable: 1 } });
    expect(spec.template.spec).toEqual(podSpec);
  });

  test('the status of a pool is written through its subresource only, and counts as no new generation', async () => {
    const { client, namespace } = world();
    const withStatus = { ...aWarmPool('pool'), status: { replicas: 7 } };
    const created = await client.create<WarmPool>(WARM_POOLS, namespace, withStatus);
    expect(created.status).toBeUndefined();
    expect(created.metadata.generation).toBe(1);

    const patch = { metadata: { labels: { app: 'x' } }, spec: { replicas: 5 }, status: { replicas: 3 } };
    const viaStatus = await client.patchStatus<WarmPool>(WARM_POOLS, namespace, 'pool', patch);
    expect(viaStatus).toMatchObject({ spec: { replicas: 1 }, status: { replicas: 3 }, metadata: { generation: 1 } });
    expect(viaStatus.metadata.labels).toBeUndefined();

    const viaSpec = await client.patch<WarmPool>(WARM_POOLS, namespace, 'pool', { ...patch, status: { replicas: 9 } });
    expect(viaSpec).toMatchObject({ spec: { replicas: 5 }, status: { replicas: 3 }, metadata: { generation: 2 } });

    const labelled = await client.patch(WARM_POOLS, namespace, 'pool', { metadata: { labels: { app: 'y' } } });
    expect(labelled.metadata.generation).toBe(2);
  });

  test('a status patch with a stale resourceVersion is refused with 409, one without a change makes no version', async () => {
    const { client, namespace } = world();
    const { resourceVersion } = (await client.create(WARM_POOLS, namespace, aWarmPool('pool'))).metadata;
    const patch = (replicas: number, version?: string): Promise<WarmPool> =>
      client.patchStatus<WarmPool>(WARM_POOLS, namespace, 'pool', {
        metadata: { resourceVersion: version },
        status: { replicas },
      });
    const first = await patch(1, resourceVersion);
    await expectRefusal(patch(2, resourceVersion), 409, 'Conflict');
    expect(await patch(1)).toEqual(first);
  });

  test.each([
    ['spec.replicas', { replicas: -1 }],
    ['spec.runtime.name', { runtime: { name: 'Not OK', version: '24' } }],
    ['spec.claims.onEmpty', { claims: { onEmpty: 'Panic' } }],
    ['spec.template.spec.containers', { template: { spec: { containers: [] } } }],
    ['spec.rollout', { rollout: { maxUnavailable: 0 } }],
  ])('a pool whose %s is wrong is refused with that field', async (field, spec) => {
    const { client, namespace } = world();
    const error = await expectRefusal(client.create(WARM_POOLS, namespace, aWarmPool('pool', spec)), 422, 'Invalid');
    expect(error.message).toContain(field);
  });

  test('the runtime of a pool cannot be changed', async () => {
    const { client, namespace } = world();
    await client.create(WARM_POOLS, namespace, aWarmPool('pool'));
    const patch = { spec: { runtime: { version: '26' } } };
    const error = await expectRefusal(client.patch(WARM_POOLS, namespace, 'pool', patch), 422, 'Invalid');
    expect(error.message).toContain('runtime cannot be changed');
  });

  test('a claim is stored with its defaults, needs one source of code, and cannot be changed', async () => {
    const { client, namespace } = world();
    const claim = await client.create<WarmPoolClaim>(WARM_POOL_CLAIMS, namespace, aWarmPoolClaim('claim'));
    expect(claim.spec).toMatchObject({ kind: 'handler', deadlineSeconds: 30 });
    const both = { ...claim.spec.code, url: 'https://example.com/a.tar' };
    const error = await expectRefusal(
      client.create(WARM_POOL_CLAIMS, namespace, aWarmPoolClaim('other', { code: both })),
      422,
      'Invalid',
    );
    expect(error.message).toContain('exactly one of url and key');
    const change = { spec: { handler: 'other.handler' } };
    await expectRefusal(client.patch(WARM_POOL_CLAIMS, namespace, 'claim', change), 422, 'Invalid');
    const ready = { status: { phase: 'Ready', podName: 'p' } };
    expect(await client.patchStatus(WARM_POOL_CLAIMS, namespace, 'claim', ready)).toMatchObject(ready);
  });
}
