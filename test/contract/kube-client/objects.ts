import type { KubeObject, ObjectMeta } from '../../../operator/engine/kube-client.ts';
import type { Lease, Pod, Secret, WarmPool, WarmPoolClaim } from '../../../operator/core/resources.ts';

/** Builders of the smallest objects that an apiserver takes. */

export function aPod(name: string, metadata: Partial<ObjectMeta> = {}, spec: Partial<Pod['spec']> = {}): Pod {
  return { metadata: { name, ...metadata }, spec: { containers: [{ name: 'runtime', image: 'none' }], ...spec } };
}

export function aSecret(name: string, metadata: Partial<ObjectMeta> = {}): Secret {
  return { metadata: { name, ...metadata }, data: { key: Buffer.from('value').toString('base64') } };
}

export function aLease(name: string, spec: Lease['spec'] = {}): Lease {
  return { metadata: { name }, spec };
}

export function anEvent(name: string, namespace: string): KubeObject & Record<string, unknown> {
  return {
    metadata: { name },
    eventTime: '2026-01-02T03:04:05.000006Z',
    reportingController: 'warmpool.dev/operator',
    reportingInstance: 'operator-0',
    action: 'Filling',
    reason: 'PodCreated',
    regarding: { apiVersion: 'warmpool.dev/v1alpha1', kind: 'WarmPool', name: 'pool', namespace },
    note: 'created a standby pod',
    type: 'Normal',
  };
}

/** As a person writes it: defaults are the server's to fill in. */
export function aWarmPool(name: string, spec: Record<string, unknown> = {}): WarmPool {
  const complete = {
    runtime: { name: 'nodejs', version: '24' },
    template: { spec: { containers: [{ name: 'runtime', image: 'none' }] } },
    ...spec,
  };
  return { metadata: { name }, spec: complete as unknown as WarmPool['spec'] };
}

export function aWarmPoolClaim(name: string, spec: Record<string, unknown> = {}): WarmPoolClaim {
  const complete = {
    poolName: 'pool',
    function: { name: 'hello', version: '1', tenant: 'tenant-a' },
    code: { key: 'hello.tar', digest: `sha256:${'0'.repeat(64)}`, format: 'tar' },
    handler: 'index.handler',
    ...spec,
  };
  return { metadata: { name }, spec: complete as unknown as WarmPoolClaim['spec'] };
}
