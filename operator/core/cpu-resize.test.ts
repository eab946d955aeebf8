import { describe, expect, it } from 'vitest';
import { milliCpu, planCpuResize, resizeOutcome } from './cpu-resize.ts';
import type { StoredPod } from './pod-view.ts';

function podWith(resources: object | undefined, status: object = {}): StoredPod {
  return {
    metadata: { name: 'p', uid: 'u-1', resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { containers: [{ name: 'runtime', ...(resources && { resources }) }] },
    status,
  };
}

function resourcesAfter(resources: object | undefined, cpu: string): unknown {
  const plan = planCpuResize(podWith(resources), 'c1', cpu);
  return plan.kind === 'answer' ? plan.resize.state : plan.patch.find(({ op }) => op === 'add');
}
const to = (resources: object): object => ({ value: resources });

describe('raising the CPU of a pod', () => {
  it('raises request and limit, and leaves memory as it is', () => {
    const resources = { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '100m', memory: '128Mi' } };
    expect(resourcesAfter(resources, '1')).toMatchObject(
      to({ requests: { cpu: '1', memory: '64Mi' }, limits: { cpu: '1', memory: '128Mi' } }),
    );
  });

  it('raises the request alone where there is no limit', () => {
    expect(resourcesAfter({ requests: { cpu: '50m' }, limits: { memory: '1Gi' } }, '500m')).toMatchObject(
      to({ requests: { cpu: '500m' }, limits: { memory: '1Gi' } }),
    );
  });

  it('keeps a Guaranteed pod Guaranteed', () => {
    const alike = { cpu: '100m', memory: '128Mi' };
    expect(resourcesAfter({ requests: alike, limits: alike }, '2')).toMatchObject(
      to({ requests: { cpu: '2', memory: '128Mi' }, limits: { cpu: '2', memory: '128Mi' } }),
    );
  });

  it('does not make a Burstable pod Guaranteed, which a resize may not', () => {
    const resources = { requests: { cpu: '50m', memory: '128Mi' }, limits: { cpu: '100m', memory: '128Mi' } };
    expect(resourcesAfter(resources, '1')).toMatchObject(to({ requests: { cpu: '50m' }, limits: { cpu: '1' } }));
  });

  it.each([
    ['has as much already', { requests: { cpu: '2' }, limits: { cpu: '2000m' } }],
    ['has more', { limits: { cpu: '4' } }],
    ['is not held back by anything', undefined],
    ['is not held back by anything but its memory', { limits: { memory: '1Gi' } }],
  ])('is not needed for a pod that %s', (_, resources) => {
    expect(resourcesAfter(resources, '2')).toBe('unneeded');
  });

  it('is for this pod, while it is this claim’s', () => {
    const plan = planCpuResize(podWith({ limits: { cpu: '100m' } }), 'c1', '1');
    expect(plan).toMatchObject({
      patch: expect.arrayContaining([
        { op: 'test', path: '/metadata/uid', value: 'u-1' },
        { op: 'test', path: '/metadata/labels/warmpool.dev~1claim', value: 'c1' },
        { op: 'test', path: '/spec/containers/0/name', value: 'runtime' },
      ]) as object[],
    });
  });
});

describe('what the node has made of it', () => {
  const running = (cpu: string): object => ({
    containerStatuses: [{ name: 'runtime', restartCount: 0, ready: true, resources: { limits: { cpu } } }],
  });

  it('is done when the container has what was asked for', () => {
    expect(resizeOutcome(podWith({}, running('1')), '1000m')).toEqual({ cpu: '1000m', state: 'done' });
  });

  it('is open while it has less', () => {
    expect(resizeOutcome(podWith({}, running('100m')), '1')).toBeUndefined();
    expect(resizeOutcome(podWith({}), '1')).toBeUndefined();
  });

  it('has failed when the node says that it never can', () => {
    const conditions = [
      { type: 'PodResizePending', status: 'True', reason: 'Infeasible', message: 'node has 2 CPUs only' },
    ];
    expect(resizeOutcome(podWith({}, { ...running('100m'), conditions }), '64')).toEqual({
      ...{ cpu: '64', state: 'failed', message: 'node has 2 CPUs only' },
    });
  });
});

it.each([
  ['250m', 250],
  ['1', 1000],
  ['0.5', 500],
  ['1.5', 1500],
  ['many', undefined],
])('%s is %s thousandths of a processor', (quantity, milli) => {
  expect(milliCpu(quantity)).toBe(milli);
});
