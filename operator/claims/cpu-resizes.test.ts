import { describe, expect, it } from 'vitest';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { aClaim, aPool } from '../../test/support/builders.ts';
import { OperatorWorld } from '../../test/support/operator-world.ts';
import { PODS, type Pod } from '../core/resources.ts';
import { KubeError, type KubeClient, type Stored } from '../engine/kube-client.ts';

const never = new AbortController().signal;
const LIMITED = {
  spec: { containers: [{ name: 'runtime', image: 'none', resources: { limits: { cpu: '100m' } } }] },
};

async function filled(template: object = LIMITED): Promise<OperatorWorld> {
  const world = await OperatorWorld.start([aPool('nodejs', { template: template as typeof LIMITED })]);
  await world.untilStandby('nodejs', 3);
  return world;
}

function claim(world: OperatorWorld, cpu?: string): Promise<Claim> {
  const change = cpu === undefined ? {} : { resources: { cpu } };
  return world.run(world.operator.claims.claim('default', 'nodejs', aClaim('c1', change), never));
}

const resizeOf = (world: OperatorWorld): Claim['resize'] => world.operator.queries.get('default', 'c1').resize;

/** Stands for an apiserver that can. */
function answerWith(world: OperatorWorld, patchResize: () => Promise<unknown>): void {
  Object.assign(world.operatorKube, { patchResize: patchResize as KubeClient['patchResize'] });
}

describe('the CPU that a claim asks for', () => {
  it('is not spoken of when it does not ask', async () => {
    const world = await filled();
    expect((await claim(world)).resize).toBeUndefined();
    await world.stop();
  });

  it('is asked of the apiserver when the pod is the claim’s, and the claim does not wait for the answer', async () => {
    const world = await filled();
    const pods: (string | undefined)[] = [];
    answerWith(world, () => {
      pods.push(world.pods().find(({ metadata }) => metadata.labels?.['warmpool.dev/claim'] === 'c1')?.metadata.uid);
      return new Promise(() => undefined);
    });
    const answer = await claim(world, '2');
    expect(answer).toMatchObject({ state: 'ready', resize: { cpu: '2', state: 'requested' } });
    expect(pods).toEqual([answer.pod?.uid]);
    await world.stop();
  });

  it('is accepted, then done when the node says so', async () => {
    const world = await filled();
    answerWith(world, () => Promise.resolve({} as Stored<Pod>));
    const { pod } = await claim(world, '2');
    await world.clock.advance(100);
    expect(resizeOf(world)).toEqual({ cpu: '2', state: 'accepted' });
    await world.kube.patchStatus(PODS, 'default', pod?.name ?? '', {
      status: {
        containerStatuses: [{ name: 'runtime', restartCount: 0, ready: true, resources: { limits: { cpu: '2' } } }],
      },
    });
    await world.clock.advance(100);
    expect(resizeOf(world)).toEqual({ cpu: '2', state: 'done' });
    await world.stop();
  });

  it('is not supported by local mode, and the claim is ready all the same', async () => {
    const world = await filled();
    expect((await claim(world, '2')).state).toBe('ready');
    await world.clock.advance(100);
    expect(resizeOf(world)).toMatchObject({ state: 'unsupported', message: expect.stringContaining('1.33') as string });
    await world.stop();
  });

  it('is not given when the apiserver refuses, in its words, and the claim is ready all the same', async () => {
    const world = await filled();
    answerWith(world, () => Promise.reject(new KubeError(403, 'Forbidden', 'pods/resize is forbidden')));
    expect((await claim(world, '2')).state).toBe('ready');
    await world.clock.advance(100);
    expect(resizeOf(world)).toEqual({ cpu: '2', state: 'failed', message: 'pods/resize is forbidden' });
    await world.stop();
  });

  it('is not asked for where the pod has it already', async () => {
    const world = await filled();
    answerWith(world, () => Promise.reject(new Error('nobody should have asked')));
    expect((await claim(world, '100m')).resize).toMatchObject({ cpu: '100m', state: 'unneeded' });
    await world.stop();
  });

  it('makes the same claim id with another amount another claim', async () => {
    const world = await filled();
    await claim(world, '1');
    await expect(claim(world, '2')).rejects.toMatchObject({ statusCode: 409 });
    await world.stop();
  });
});
