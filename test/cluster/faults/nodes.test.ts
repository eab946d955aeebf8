import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { NODE_NAME } from '../credentials.ts';
import { until } from '../kubectl.ts';
import { OPERATOR_NAMESPACE, POOL_NAMESPACE } from '../product.ts';
import { isNodeReady } from '../second-node.ts';
import { FaultWorld } from './fault-world.ts';
import type { PodObject } from './invariants.ts';
import { takeAway } from './programs.ts';

const access = inject('cluster');
const LIMIT_MS = 60_000;

describe.skipIf(access?.own === undefined)('a node that is emptied or lost', () => {
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-nodes');
  });
  afterAll(async () => {
    if (world === undefined) return;
    await world.kubectl.run(['uncordon', NODE_NAME]);
    await world.stop();
  });

  const describePool = (): Promise<string> =>
    world.kubectl.run(['describe', 'wp', world.pool, '--namespace', POOL_NAMESPACE]);
  const standby = async (): Promise<Set<string>> =>
    new Set((await world.pods('standby')).map(({ metadata }) => metadata.uid));
  const operatorUrl = async (): Promise<string> => {
    const [pod] = await world.kubectl.list<PodObject>(
      OPERATOR_NAMESPACE,
      'pods',
      '--selector=warmpool.dev/serving=true',
    );
    return `http://${pod?.status.podIP}:8080`;
  };
  const isReady = (): Promise<boolean> => isNodeReady(world.kubectl, NODE_NAME);

  test('a deleted and an evicted pod: standby ones are replaced, the claims of instances are told lost', async () => {
    const deleted = await world.claim('deleted');
    const evicted = await world.claim('evicted');
    const [first, second] = await world.standbyPods();
    const remove = (name = ''): Promise<unknown> =>
      world.kubectl.run(['delete', 'pod', name, '--namespace', POOL_NAMESPACE, '--wait=false']);
    const evict = (name = ''): Promise<unknown> => {
      const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: POOL_NAMESPACE } };
      const path = `/api/v1/namespaces/${POOL_NAMESPACE}/pods/${name}/eviction`;
      return world.kubectl.run(['create', '--raw', path, '--filename=-'], JSON.stringify(body));
    };
    await Promise.all([
      remove(first?.metadata.name),
      remove(deleted.pod?.name),
      evict(second?.metadata.name),
      evict(evicted.pod?.name),
    ]);
    await Promise.all([world.untilLost('deleted'), world.untilLost('evicted')]);
    await world.settled();
    const left = await standby();
    for (const pod of [first, second]) expect(left).not.toContain(pod?.metadata.uid);
  });

  test('kubectl drain takes standby pods and instances; the pool says what it waits for, and fills when the node is back', async () => {
    await world.claim('drained');
    const before = await standby();
    const drain = ['drain', NODE_NAME, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=60s'];
    await world.kubectl.run([...drain, `--pod-selector=warmpool.dev/pool=${world.pool}`]);
    await world.untilLost('drained');
    await until('the pool to say why it is empty', LIMIT_MS, async () => {
      const words = await describePool();
      return /Unschedulable/.test(words) && /0\/1 nodes are available: 1 node\(s\) were unschedulable/.test(words);
    });
    const waiting = world.claimant.send(world.pool, 'while-drained');
    await world.kubectl.run(['uncordon', NODE_NAME]);
    expect((await waiting).answer).toMatchObject({ status: 201 });
    await world.settled();
    for (const uid of await standby()) expect(before).not.toContain(uid);
  });

  test('a node whose kubelet is gone: no claim gets a pod of it before it is back', async () => {
    const kept = await world.claim('kept-by-lost-node');
    {
      await using _gone = await takeAway(world.nodeFolder, 'kubelet');
      await until('the node to be NotReady', LIMIT_MS, async () => !(await isReady()));
      await until('the pool to say that its node is lost', LIMIT_MS, async () =>
        /NodeNotReady/.test(await describePool()),
      );
      // the Service does not reach what is on the lost node either: here that is the operator
      const refused = await world.claimant.sendOnce(
        world.pool,
        'on-lost-node',
        { deadlineMs: 1_000 },
        await operatorUrl(),
      );
      expect(refused).toMatchObject({ status: 504, error: { code: 'ClaimDeadlineExceeded' } });
      expect(await world.claimant.invoke(kept)).toBe('kept-by-lost-node');
    }
    await until('the node to be Ready', LIMIT_MS, isReady);
    await world.claim('on-node-that-is-back');
    await world.settled();
  });
});
