import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { insideNode } from '../node/test-node.ts';
import { NODE_NAMESPACE, OPERATOR_NAMESPACE, untilRolledOut } from '../product.ts';
import { FaultWorld } from './fault-world.ts';

const access = inject('cluster');
const run = promisify(execFile);

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

const DISK = '/var/lib/warmpool/cache';
const DISK_BYTES = 4 * 1024 * 1024;

describe.skipIf(access?.own === undefined)('a full disk under the host-agent’s cache', () => {
  let world: FaultWorld;
  const inNode = async (...command: string[]): Promise<void> => {
    const [program, ...args] = insideNode(world.nodeFolder, command);
    await run(program, args);
  };
  const restartHostAgent = async (): Promise<void> => {
    await world.kubectl.run(['rollout', 'restart', 'daemonset/warmpool-host-agent', '--namespace', NODE_NAMESPACE]);
    await untilRolledOut(world.kubectl);
  };

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-disk');
    await inNode('mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'small-disk', DISK);
    await restartHostAgent();
  });
  afterAll(async () => {
    if (world === undefined) return;
    await world.stop();
    await inNode('umount', '--lazy', DISK);
    await restartHostAgent();
  });

  test('refuses the claim in words, costs no other claim anything, and is over when there is room', async () => {
    const kept = await world.claim('kept-by-disk');
    const code = world.codeServer.add(
      'index.mjs',
      `${'/'.repeat(DISK_BYTES)}\nexport const handler = () => ({ claim: process.env.CLAIM });`,
    );
    const refused = await world.claimant.sendOnce(world.pool, 'too-large', { code, deadlineMs: 10_000 });
    expect(refused).toMatchObject({ status: 507, error: { code: 'CacheFull' } });
    expect(refused.error?.message).toMatch(/the code cache is full: .*space/);
    expect(await world.claimant.invoke(kept)).toBe('kept-by-disk');
    await world.claim('small-meanwhile');
    await inNode('mount', '-o', `remount,size=${4 * DISK_BYTES}`, DISK);
    const { answer } = await world.claimant.send(world.pool, 'too-large', { code });
    expect(answer).toMatchObject({ status: 201 });
    await world.settled();
  });
});
