import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { NODE_NAMESPACE, OPERATOR_NAMESPACE, untilRolledOut } from '../product.ts';
import { FaultWorld } from './fault-world.ts';

const access = inject('cluster');

describe.skipIf(access?.own === undefined)('an upgrade during claims, on a real node,', () => {
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-rollouts');
  });
  afterAll(() => world?.stop());

  const restart = async (namespace: string, what: string): Promise<void> => {
    await world.kubectl.run(['rollout', 'restart', what, '--namespace', namespace]);
    await untilRolledOut(world.kubectl);
  };
  /** A claim may take more than one pod: one that was being loaded when the host-agent went is not given to anybody. */
  const claimThrough = async (name: string, clients: number, what: [namespace: string, workload: string]) => {
    const kept = await world.claim(`kept-by-${name}`);
    let claims = 0;
    const lost = await world.lostDuring(async () => {
      claims = await world.claimingDuring(name, clients, () => restart(...what));
      expect(await world.claimant.invoke(kept)).toBe(`kept-by-${name}`);
    });
    expect(claims).toBeGreaterThan(0);
    expect(lost, 'standby pods that are gone although no claim had them').toEqual([]);
  };

  test('of the host-agents: claims wait for the new one, instances serve on, standby pods stay', () =>
    claimThrough('host-agent', 1, [NODE_NAMESPACE, 'daemonset/warmpool-host-agent']));

  test('of the operator: claims go on with the new one', () =>
    claimThrough('operator', 2, [OPERATOR_NAMESPACE, 'deployment/warmpool-operator']));
});
