import { afterEach, describe, expect, inject, test } from 'vitest';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { PODS, type Pod } from '@warmpool/operator/core/resources.ts';
import { aClaimInput, aPool } from '../support/builders.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const POOL = 'nodejs';
const TEMPLATE = {
  spec: {
    containers: [
      {
        name: 'runtime',
        image: 'none',
        resources: { requests: { cpu: '50m', memory: '64Mi' }, limits: { cpu: '100m', memory: '64Mi' } },
      },
    ],
  },
};

describe.skipIf(access === undefined)('the CPU that a claim asks for, on the real apiserver', () => {
  let world: StandInWorld;
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  test('is raised in place, and the claim says when the node has done it', async () => {
    world = await StandInWorld.start(access);
    const operator = await world.startOperator();
    await operator.untilServing();
    await world.createPool(aPool(POOL, { replicas: 1, template: TEMPLATE }));
    await world.untilFull(POOL, 1);
    const url = `${operator.url}/v1/pools/${world.namespace}/${POOL}/claims`;
    const created = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(aClaimInput('raised', { resources: { cpu: '1' } })),
    });
    const claim = (await created.json()) as Claim;
    expect(claim).toMatchObject({ state: 'ready', resize: { cpu: '1' } });
    const name = claim.pod?.name ?? '';

    const now = async (): Promise<Claim> =>
      (await (await fetch(`${operator.url}/v1/claims/${world.namespace}/raised`)).json()) as Claim;
    let resize: Claim['resize'];
    await until(
      'the apiserver to take the resize',
      60_000,
      async () => (resize = (await now()).resize)?.state === 'accepted',
      () => JSON.stringify(resize),
    );
    const pod = await world.kube.get<Pod>(PODS, world.namespace, name);
    // its memory is guaranteed, so a request of 1 would change its QoS class, which the apiserver refuses
    expect(pod.spec.containers[0]?.['resources']).toMatchObject({
      requests: { cpu: '50m', memory: '64Mi' },
      limits: { cpu: '1', memory: '64Mi' },
    });

    await world.kube.patchStatus(PODS, world.namespace, name, {
      status: {
        containerStatuses: [
          {
            ...{ name: 'runtime', image: 'none', imageID: '', ready: true, restartCount: 0 },
            resources: { limits: { cpu: '1', memory: '64Mi' } },
          },
        ],
      },
    });
    await until(
      'the claim to say that it is done',
      60_000,
      async () => (resize = (await now()).resize)?.state === 'done',
      () => JSON.stringify(resize),
    );
  });
});
