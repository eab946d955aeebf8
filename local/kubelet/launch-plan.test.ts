import { describe, expect, it } from 'vitest';
import type { Pod } from '@warmpool/operator/core/resources.ts';
import { matchesVersion, placementEnv, planLaunch } from './launch-plan.ts';

const RUNTIMES = [
  { name: 'nodejs', version: '24', command: ['/bin/node', 'main.mjs'] },
  { name: 'python', version: '3.11', command: ['python3', 'main.py'] },
];

function aPod(container: Partial<Pod['spec']['containers'][number]>): Pod {
  return { metadata: { name: 'pod' }, spec: { containers: [{ name: 'runtime', ...container }] } };
}

describe('planning the launch of a pod', () => {
  it.each([
    ['3.11', '3', true],
    ['3.11', '3.11', true],
    ['3.11', '3.1', false],
    ['3.11', '3.11.7', false],
    ['24', '2', false],
  ])('a runtime of version %s for a pool that wants %s: %s', (found, wanted, expected) => {
    expect(matchesVersion(found, wanted)).toBe(expected);
  });

  it.each([
    ['warmpool.dev/runtime-nodejs:24', 'nodejs', '24'],
    ['runtime-python:3', 'python', '3'],
    ['registry.test:5000/team/runtime-python:3.11@sha256:abc', 'python', '3.11'],
  ])('reads the runtime from the image %s', (image, name, version) => {
    expect(planLaunch(aPod({ image }), RUNTIMES, {})).toMatchObject({ plan: { runtime: { name, version } } });
  });

  it.each(['nginx:1', 'runtime-nodejs', 'notruntime-nodejs:24', ''])('reads none from the image "%s"', (image) => {
    expect(planLaunch(aPod({ image }), RUNTIMES, {})).toMatchObject({ refusal: { reason: 'RuntimeNotNamed' } });
  });

  it('refuses env that it would have to look up', () => {
    const env = [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }];
    expect(planLaunch(aPod({ image: 'runtime-nodejs:24', env }), RUNTIMES, {})).toEqual({
      refusal: {
        reason: 'EnvUnsupported',
        message: 'The env entry TOKEN uses valueFrom, which local mode does not have.',
      },
    });
  });

  it('lets neither pool nor host env decide where the pod listens', () => {
    const place = { socketPath: '/run/agent.sock', host: '127.0.0.1', port: 20_001 };
    const env = [{ name: 'WARMPOOL_PORT', value: '22' }];
    const decision = planLaunch(aPod({ image: 'runtime-nodejs:24', env }), RUNTIMES, {
      WARMPOOL_PORT: '23',
      TZ: 'UTC',
    });
    if (!('plan' in decision)) throw new Error(decision.refusal.message);
    expect({ ...decision.plan.env, ...placementEnv(place) }).toMatchObject({ WARMPOOL_PORT: '20001', TZ: 'UTC' });
  });
});
