import { describe, expect, it } from 'vitest';
import { LABEL_CLAIM } from '@warmpool/protocol/names.ts';
import { warmPoolClaimSpecSchema } from '@warmpool/protocol/warm-pool.ts';
import { aClaim, aPool } from '../test/support/builders.ts';
import { OperatorWorld } from '../test/support/operator-world.ts';
import { HostAgentError } from './claims/host-agent-client.ts';
import { PODS, WARM_POOL_CLAIMS, WARM_POOLS, type Pod, type WarmPool, type WarmPoolClaim } from './core/resources.ts';
import { KubeError } from './engine/kube-client.ts';

const never = new AbortController().signal;
const READY_SECONDS = 60;

async function filled(): Promise<OperatorWorld> {
  const world = await OperatorWorld.start([aPool('nodejs', { replicas: 3 })]);
  await world.untilStandby('nodejs', 3);
  return world;
}

function claim(world: OperatorWorld, id: string, change: Parameters<typeof aClaim>[1] = {}) {
  return world.run(world.operator.claims.claim('default', 'nodejs', aClaim(id, change), never));
}

const uids = (world: OperatorWorld): string[] => world.pods().map(({ metadata }) => metadata.uid);

async function stalled(world: OperatorWorld) {
  const { status } = await world.kube.get<WarmPool>(WARM_POOLS, 'default', 'nodejs');
  return status?.conditions?.find(({ type }) => type === 'Stalled');
}

/** What the control plane says of a pod whose node has stopped to report, or does again. */
function setNodeReady(world: OperatorWorld, uid: string, isReady: boolean): Promise<unknown> {
  const name = world.pods().find(({ metadata }) => metadata.uid === uid)?.metadata.name ?? '';
  const conditions = [
    { type: 'Ready', status: isReady ? 'True' : 'False' },
    { type: 'ContainersReady', status: 'True' },
  ];
  return world.kube.patchStatus<Pod>(PODS, 'default', name, { status: { conditions } });
}

describe('while the host-agent of a node is away', () => {
  it('its standby pods are not offered, and stay: they are older than they may take to boot, and have booted', async () => {
    const world = await filled();
    const before = uids(world);
    await world.clock.advance(2 * READY_SECONDS * 1_000);
    world.node.silence(true);
    await world.clock.advance(20_000);
    expect(world.operator.inventory.index.size('default/nodejs')).toBe(0);
    const waiting = world.operator.claims.claim('default', 'nodejs', aClaim('c1'), never);
    world.node.silence(false);
    expect(before).toContain((await world.run(waiting)).pod?.uid);
    await world.untilStandby('nodejs', 3);
    expect(uids(world).filter((uid) => before.includes(uid))).toHaveLength(3);
  });

  it('an operator that begins then leaves them alone as well', async () => {
    const world = await filled();
    const before = uids(world);
    await world.clock.advance(2 * READY_SECONDS * 1_000);
    world.node.silence(true);
    await world.restartOperator();
    await world.clock.advance(20_000);
    world.node.silence(false);
    await world.untilStandby('nodejs', 3);
    expect(uids(world)).toEqual(before);
  });

  it('for as long as a pod may take to boot, they are replaced, and nobody calls that a failed boot', async () => {
    const world = await filled();
    const before = uids(world);
    world.node.silence(true);
    await world.clock.advance((READY_SECONDS + 10) * 1_000);
    expect(uids(world).filter((uid) => before.includes(uid))).toEqual([]);
    expect(uids(world)).toHaveLength(3);
    expect((await stalled(world))?.status).toBe('False');
  });
});

describe('when a node is cut off while a load is on its way there', () => {
  it('the claim does not wait for its deadline: it goes on with another pod as soon as the node was silent for too long', async () => {
    const world = await filled();
    world.node.beforeLoad = () => new Promise<never>(() => undefined);
    world.node.mute(true);
    const claimed = world.operator.claims.claim('default', 'nodejs', aClaim('c1', { deadlineMs: 60_000 }), never);
    await world.clock.advance(8_000);
    expect(world.node.loads).toHaveLength(1);
    world.node.beforeLoad = () => undefined;
    world.node.mute(false);
    const { pod } = await world.run(claimed, 5_000);
    expect(pod?.uid).not.toBe(world.node.loads[0]?.grant.podUid);
    await world.untilStandby('nodejs', 3);
    expect(uids(world)).not.toContain(world.node.loads[0]?.grant.podUid);
  });
});

describe('when an operator begins while the host-agent of a node is away', () => {
  /** The claim of a minute and a half ago: its answer is known to whoever sent it. */
  async function withSettledInstance(change: Parameters<typeof aClaim>[1] = {}): Promise<OperatorWorld> {
    const world = await filled();
    await claim(world, 'old', change);
    await world.clock.advance(90_000);
    world.node.silence(true);
    await world.restartOperator();
    return world;
  }
  const stateOf = (world: OperatorWorld, id: string): string => world.operator.queries.get('default', id).state;
  const podOf = (world: OperatorWorld, id: string): string | undefined =>
    world.pods().find(({ metadata }) => metadata.labels?.[LABEL_CLAIM] === id)?.metadata.uid;

  it('its instances serve on, however long it takes', async () => {
    const world = await withSettledInstance();
    const uid = podOf(world, 'old');
    await world.clock.advance(600_000);
    expect([uid !== undefined, podOf(world, 'old')]).toEqual([true, uid]);
    world.node.silence(false);
    expect(await claim(world, 'old')).toMatchObject({ state: 'ready', pod: { uid } });
  });

  it('one that is asked for again is told what is waited for, within its deadline', async () => {
    const world = await withSettledInstance();
    await expect(claim(world, 'old', { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'HostAgentUnavailable',
      statusCode: 502,
      retryAfterSeconds: 5,
      message: expect.stringMatching(
        /claim old has an instance on node node-1, .*host-agent cannot be heard/,
      ) as string,
    });
  });

  it('the object of one stays Ready', async () => {
    const world = await filled();
    const { function: fn, code, handler } = aClaim('x');
    const object = {
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPoolClaim',
      metadata: { name: 'mine', namespace: 'default' },
      spec: warmPoolClaimSpecSchema.parse({ poolName: 'nodejs', function: fn, code, handler }),
    };
    await world.kube.create<WarmPoolClaim>(WARM_POOL_CLAIMS, 'default', object);
    const status = async () => (await world.kube.get<WarmPoolClaim>(WARM_POOL_CLAIMS, 'default', 'mine')).status;
    await world.clock.advance(90_000);
    const before = await status();
    expect(before?.phase).toBe('Ready');
    world.node.silence(true);
    await world.restartOperator();
    await world.clock.advance(300_000);
    expect(await status()).toEqual(before);
    world.node.silence(false);
    await world.clock.advance(60_000);
    expect(await status()).toEqual(before);
  });

  it('one can be released, and whoever asked for it again hears that', async () => {
    const world = await withSettledInstance();
    const asking = claim(world, 'old');
    asking.catch(() => undefined);
    await world.run(world.operator.claims.release('default', 'old'));
    await expect(asking).rejects.toMatchObject({ code: 'ClaimReleased' });
    await world.clock.advance(1_000);
    expect(podOf(world, 'old')).toBeUndefined();
  });

  it('one ends with its time to live', async () => {
    const world = await withSettledInstance({ ttlSeconds: 120 });
    await world.clock.advance(20_000);
    expect(podOf(world, 'old')).toBeDefined();
    await world.clock.advance(20_000);
    expect([podOf(world, 'old'), stateOf(world, 'old')]).toEqual([undefined, 'released']);
  });

  it('one whose pod goes with its node is told lost, and not replaced under the same id', async () => {
    const world = await withSettledInstance();
    const [pod] = world.pods().filter(({ metadata }) => metadata.uid === podOf(world, 'old'));
    await world.kube.delete(PODS, 'default', pod?.metadata.name ?? '', { gracePeriodSeconds: 0 });
    await world.clock.advance(1_000);
    expect(stateOf(world, 'old')).toBe('failed');
    await expect(claim(world, 'old')).rejects.toMatchObject({ code: 'InstanceLost' });
  });

  it('so does one of a moment ago, unless its node is lost: then it is given up, says so, and can be claimed again', async () => {
    const world = await filled();
    await claim(world, 'young');
    world.node.silence(true);
    await world.restartOperator();
    await world.clock.advance(90_000);
    const uid = podOf(world, 'young') ?? '';
    expect(uid).not.toBe('');
    await setNodeReady(world, uid, false);
    await world.clock.advance(1_000);
    expect(world.operator.queries.get('default', 'young')).toMatchObject({
      state: 'failed',
      error: { code: 'PodLost', message: 'its node did not confirm that it was loaded' },
    });
    world.node.silence(false);
    expect((await claim(world, 'young')).state).toBe('ready');
  });
});

describe('pods of a node that does not report to the control plane', () => {
  it('are not offered until it does, and the pool says which node it is', async () => {
    const world = await filled();
    const before = uids(world);
    await Promise.all(before.map((uid) => setNodeReady(world, uid, false)));
    await world.clock.advance(1_000);
    await expect(claim(world, 'c1', { deadlineMs: 1_000 })).rejects.toMatchObject({ code: 'ClaimDeadlineExceeded' });
    expect(await stalled(world)).toMatchObject({
      reason: 'NodeNotReady',
      message: expect.stringMatching(/^node node-1 does not report/) as string,
    });
    await Promise.all(before.map((uid) => setNodeReady(world, uid, true)));
    expect(before).toContain((await claim(world, 'c2')).pod?.uid);
  });
});

describe('while the apiserver is away', () => {
  it('a claim costs one pod at most and the next ones none; then the others are given', async () => {
    const world = await filled();
    const real = { get: world.kube.get.bind(world.kube), patch: world.kube.patch.bind(world.kube) };
    const away = (): Promise<never> => Promise.reject(new KubeError(0, 'Network', 'connect ECONNREFUSED'));
    Object.assign(world.operatorKube, { get: away, patch: away });
    for (const id of ['c1', 'c2', 'c3'])
      await expect(claim(world, id)).rejects.toMatchObject({
        code: 'KubernetesUnavailable',
        statusCode: 503,
        retryAfterSeconds: 1,
        message: expect.stringMatching(/apiserver is away \(Network: connect ECONNREFUSED\)/) as string,
      });
    expect(world.node.loads).toHaveLength(1);
    Object.assign(world.operatorKube, real);
    expect((await claim(world, 'c1')).state).toBe('ready');
    expect((await claim(world, 'c2')).state).toBe('ready');
  });

  it('and only hiccuped, the claim goes on with another pod', async () => {
    const world = await filled();
    const patch = world.kube.patch.bind(world.kube);
    let failures = 1;
    world.operatorKube.patch = (...args) =>
      args[0] === PODS && failures-- > 0
        ? Promise.reject(new KubeError(0, 'Network', 'socket hang up'))
        : patch(...args);
    expect((await claim(world, 'c1')).state).toBe('ready');
    expect(world.node.loads).toHaveLength(2);
  });
});

describe('a pod whose creation nobody answered', () => {
  it.each([
    ['never arrived', undefined],
    ['was made', 0],
    ['arrives later', 3_000],
  ])('is there once, soon, when the creation %s', async (_, arrivesAfterMs) => {
    const world = await filled();
    const create = world.kube.create.bind(world.kube);
    let unanswered = 1;
    world.operatorKube.create = async (...args) => {
      if (args[0] !== PODS || unanswered-- <= 0) return create(...args);
      if (arrivesAfterMs !== undefined) world.clock.after(arrivesAfterMs, () => void create(...args).catch(() => {}));
      throw new KubeError(0, 'Timeout', 'no answer in time');
    };
    await world.kube.patch<WarmPool>(WARM_POOLS, 'default', 'nodejs', { spec: { replicas: 4 } });
    await world.clock.runUntil(() => world.operator.inventory.index.size('default/nodejs') === 4, 10_000);
    await world.clock.advance(70_000);
    expect(world.pods(), 'and not twice').toHaveLength(4);
  });
});

describe('when no pod can be loaded', () => {
  it('the claim says why the last one could not, rather than that no other came', async () => {
    const world = await filled();
    world.node.bootMs = 3_600_000;
    world.node.beforeLoad = () => {
      throw new HostAgentError(507, 'CacheFull', 'the code cache is full: the disk has no space left');
    };
    await expect(claim(world, 'c1', { deadlineMs: 5_000 })).rejects.toMatchObject({
      code: 'CacheFull',
      statusCode: 507,
      message: 'the code cache is full: the disk has no space left',
    });
  });
});
