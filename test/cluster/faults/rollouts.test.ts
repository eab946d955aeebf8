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
  const uids = async (): Promise<Set<string>> =>
    new Set((await world.pods('standby')).map(({ metadata }) => metadata.uid));

  test('of the host-agents: claims wait for the new one, instances serve on, standby pods stay', async () => {
    const kept = await world.claim('kept-by-host-agent');
    const before = await uids();
    const claims = await world.claimingDuring('host-agent', 1, () =>
      restart(NODE_NAMESPACE, 'daemonset/warmpool-host-agent'),
    );
    expect(claims).toBeGreaterThan(0);
    expect(await world.claimant.invoke(kept)).toBe('kept-by-host-agent');
    await world.settled();
    const left = [...(await uids())].filter((uid) => before.has(uid)).length;
    expect(left).toBeGreaterThanOrEqual(before.size - claims);
  });

  test('of the operator: claims go on with the new one', async () => {
    const kept = await world.claim('kept-by-operator');
    const before = await uids();
    const claims = await world.claimingDuring('operator', 2, () =>
      restart(OPERATOR_NAMESPACE, 'deployment/warmpool-operator'),
    );
    expect(claims).toBeGreaterThan(0);
    expect(await world.claimant.invoke(kept)).toBe('kept-by-operator');
    await world.settled();
    const left = [...(await uids())].filter((uid) => before.has(uid)).length;
    expect(left).toBeGreaterThanOrEqual(before.size - claims);
  });
});
