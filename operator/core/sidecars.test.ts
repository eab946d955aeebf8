import { describe, expect, it } from 'vitest';
import type { Stored } from '../engine/kube-client.ts';
import { buildStandbyPod, templateHash } from './build-pod.ts';
import { containerTrouble, type StoredPod } from './pod-view.ts';
import type { WarmPool } from './resources.ts';
import { sidecarLoads } from './sidecars.ts';
import { aPool } from '../../test/support/builders.ts';

const TEMPLATE = {
  spec: {
    containers: [
      { name: 'runtime', image: 'warmpool.dev/runtime-nodejs:24' },
      { name: 'proxy', image: 'proxy:1', securityContext: { readOnlyRootFilesystem: false } },
      { name: 'helper', image: 'helper:1' },
    ],
  },
};

function aPoolWith(sidecars: { name: string; reload: 'HTTP' }[]): Stored<WarmPool> {
  const pool = aPool('nodejs', { template: TEMPLATE, standby: { sidecars } });
  return {
    ...pool,
    metadata: { ...pool.metadata, uid: 'u', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { ...pool.spec, template: TEMPLATE },
  };
}
const pod = buildStandbyPod(aPoolWith([{ name: 'proxy', reload: 'HTTP' }]), 'proxied-1') as StoredPod;
const [runtime, proxy, helper] = pod.spec.containers;

describe('a pod with a sidecar', () => {
  it('shares a folder with it that neither the runtime nor another container sees', () => {
    expect(proxy).toMatchObject({
      volumeMounts: [{ name: 'warmpool-sidecars', mountPath: '/run/warmpool-sidecar', subPath: 'proxy' }],
      securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: false },
    });
    expect(JSON.stringify([runtime, helper])).not.toContain('sidecar');
    expect(JSON.stringify(proxy)).not.toContain('agent.sock');
    expect(helper).toEqual({ name: 'helper', image: 'helper:1' });
  });

  it('remembers how it is reloaded, whatever the pool says by then', () => {
    expect(sidecarLoads(pod)).toEqual({ sidecars: [{ name: 'proxy', reload: 'HTTP', timeoutMs: 5000 }] });
    expect(templateHash(aPoolWith([{ name: 'proxy', reload: 'HTTP' }]))).not.toBe(templateHash(aPoolWith([])));
  });

  it('is worth nothing once that has ended', () => {
    const ended = (name: string): StoredPod => ({
      ...pod,
      status: {
        containerStatuses: [{ name, restartCount: 0, ready: false, state: { terminated: { exitCode: 3 } } }],
      },
    });
    expect(containerTrouble(ended('proxy'))).toBe('its sidecar proxy has ended with exit code 3');
    expect(containerTrouble(ended('helper'))).toBeUndefined();
  });
});
