import { describe, expect, it } from 'vitest';
import { aPool } from '../../test/support/builders.ts';
import { buildStandbyPod } from './build-pod.ts';
import type { Stored } from '../engine/kube-client.ts';
import type { WarmPool } from './resources.ts';

function podOf(more: object): ReturnType<typeof buildStandbyPod> {
  const pool = aPool('p') as Stored<WarmPool>;
  // what the operator does not read is not in the builder's schema, and is in the object
  Object.assign(pool.spec.template.spec, more);
  return buildStandbyPod(pool, 'nodejs-1');
}

describe('a standby pod', () => {
  it('holds up the drain of its node for little longer than an instance may drain', () => {
    expect(podOf({}).spec['terminationGracePeriodSeconds']).toBe(12);
  });

  it('has a bounded /tmp of its own to write to', () => {
    const { volumes, containers } = podOf({}).spec;
    expect(volumes).toContainEqual({ name: 'warmpool-tmp', emptyDir: { sizeLimit: '512Mi' } });
    expect(containers[0]).toMatchObject({
      securityContext: { readOnlyRootFilesystem: true },
      volumeMounts: expect.arrayContaining([{ name: 'warmpool-tmp', mountPath: '/tmp' }]) as object[],
    });
  });

  it.each(['/tmp', '/tmp/'])('has the one that its template mounts at %s', (mountPath) => {
    const volumes = [{ name: 'scratch', emptyDir: { medium: 'Memory' } }];
    const mounts = [{ name: 'scratch', mountPath }];
    const { spec } = podOf({ volumes, containers: [{ name: 'runtime', image: 'i', volumeMounts: mounts }] });
    expect(JSON.stringify(spec)).not.toContain('warmpool-tmp');
    expect(spec.containers[0]).toMatchObject({ volumeMounts: expect.arrayContaining(mounts) as object[] });
  });

  it('has the grace that its template gives it', () => {
    expect(podOf({ terminationGracePeriodSeconds: 300 }).spec['terminationGracePeriodSeconds']).toBe(300);
  });
});
