import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Digest } from '@warmpool/protocol/fields.ts';
import type { PrefetchStatus } from '@warmpool/protocol/host-agent-api.ts';
import type { Prefetch, PrefetchCodeRequest } from '@warmpool/protocol/prefetch-api.ts';
import { aPool } from '../../test/support/builders.ts';
import { OperatorWorld } from '../../test/support/operator-world.ts';
import { WARM_POOLS } from '../core/resources.ts';
import { HostAgentError } from '../claims/host-agent-client.ts';

const code = { key: 'a.tar', digest: `sha256:${'a'.repeat(64)}` as Digest, format: 'tar' } as const;
const wish: PrefetchCodeRequest = { code, namespace: 'default', pools: ['nodejs'] };
let world: OperatorWorld;

beforeEach(async () => {
  world = await OperatorWorld.start([aPool('nodejs', { replicas: 2 })]);
  await world.untilStandby('nodejs', 2);
});
afterEach(() => world.stop());

const start = (request: PrefetchCodeRequest = wish): Promise<Prefetch> =>
  world.run(world.operator.prefetches.start(request));
const now = (id: string): Prefetch => world.operator.prefetches.get(id);
const says = (state: 'queued' | 'fetching' | 'cached', receivedBytes: number): void =>
  void world.node.prefetched.set(code.digest, { ...{ digest: code.digest, format: 'tar' }, state, receivedBytes });

test('the nodes of a pool are told once, and asked how far they are until they have it', async () => {
  const { id, nodes } = await start();
  expect(nodes).toMatchObject([{ node: 'node-1', receivedBytes: 0 }]);
  says('fetching', 70);
  await world.clock.runUntil(() => now(id).nodes[0]?.state === 'fetching', 10_000);
  expect(now(id)).toMatchObject({ state: 'running', cachedNodes: 0, nodes: [{ receivedBytes: 70 }] });
  // the same again, while it is under way
  expect((await start()).id).toBe(id);
  says('cached', 100);
  await world.clock.runUntil(() => now(id).state === 'done', 10_000);
  expect(now(id)).toMatchObject({ cachedNodes: 1, failedNodes: 0, endedAt: expect.any(String) as string });
  expect(world.node.prefetchRequests).toEqual([{ code }]);
});

test('what a node cannot have ends the prefetch with its words; asked for again, it begins again', async () => {
  const error = { code: 'ObjectNotFound', message: 'object a.tar does not exist' };
  const { id } = await start();
  world.node.prefetched.set(code.digest, { ...code, state: 'failed', receivedBytes: 0, error });
  await world.clock.runUntil(() => now(id).state === 'failed', 10_000);
  expect(now(id)).toMatchObject({ failedNodes: 1, nodes: [{ node: 'node-1', state: 'failed', error }] });
  says('cached', 5);
  expect((await start()).id).toBe(id);
  await world.clock.runUntil(() => now(id).state === 'done', 10_000);
  expect(now(id)).toMatchObject({ failedNodes: 0, cachedNodes: 1 });
});

test('a host-agent that does not answer is asked again; one that was replaced is told again', async () => {
  let calls = 0;
  const { prefetch } = world.node;
  world.node.prefetch = (...call) =>
    ++calls < 3 ? Promise.reject(new HostAgentError(0, 'NoAnswer', 'gone for a moment')) : prefetch(...call);
  const { id } = await start();
  await world.clock.runUntil(() => now(id).nodes[0]?.state === 'queued', 30_000);
  world.node.prefetched.clear();
  await world.clock.runUntil(() => world.node.prefetchRequests.length === 2, 30_000);
  says('cached', 5);
  await world.clock.runUntil(() => now(id).state === 'done', 10_000);
});

test('one that stays away, or refuses, has failed', async () => {
  world.node.prefetch = () => Promise.reject(new HostAgentError(0, 'NoAnswer', 'gone'));
  const { id } = await start();
  await world.clock.runUntil(() => now(id).state === 'failed', 120_000);
  expect(now(id).nodes[0]?.error).toEqual({ code: 'NoAnswer', message: 'gone' });
});

test('the same code from another source has to wait, and what is not there is told', async () => {
  await start();
  const refused = (request: PrefetchCodeRequest) => expect(start(request)).rejects;
  await refused({ ...wish, code: { ...code, key: 'b.tar' } }).toMatchObject({ code: 'PrefetchConflict' });
  await refused({ ...wish, pools: ['absent'] }).toMatchObject({ code: 'PoolNotFound' });
  await refused({ code, namespace: 'empty' }).toMatchObject({ code: 'NoNodes', statusCode: 409 });
  await refused({ code, nodes: ['node-1', 'node-9'] }).toMatchObject({
    code: 'InvalidRequest',
    details: [{ field: 'nodes.1', message: 'is node-9, from whose host-agent nothing is heard' }],
  });
  expect(() => now('0'.repeat(32))).toThrow('there is no prefetch');
});

test('a hundred may be under way, one more is told to come back', async () => {
  for (let index = 0; index < 100; index++) await start({ ...wish, nodeCount: index + 1 });
  await expect(start()).rejects.toMatchObject({ code: 'TooManyPrefetches', retryAfterSeconds: 5 });
});

test('all nodes are meant when none is named', async () => {
  expect((await start({ code })).nodes.map(({ node }) => node)).toEqual(['node-1']);
});

test('a pool’s Secret goes with it by name, under a grant; pools with different ones are asked for one by one', async () => {
  const code1 = { credentials: { secretName: 'code' } };
  await world.kube.create(WARM_POOLS, 'default', aPool('secret', { replicas: 1, code: code1 }));
  await world.untilStandby('secret', 1);
  await expect(start({ code, namespace: 'default' })).rejects.toMatchObject({
    code: 'InvalidRequest',
    details: [{ field: 'pools', message: expect.stringContaining('nodejs and secret differ') as string }],
  });
  const { id } = await start({ ...wish, pools: ['secret'] });
  const access = { namespace: 'default', secretName: 'code' };
  await world.clock.runUntil(() => world.node.prefetchRequests.length === 1, 10_000);
  expect(world.node.prefetchRequests).toMatchObject([
    { code, grant: { access, signature: expect.any(String) as string } },
  ]);
  const { digest, format } = code;
  const ofOthers = { digest, format, state: 'cached' as const, receivedBytes: 5 };
  const own = { ...ofOthers, access, state: 'fetching' as PrefetchStatus['state'] };
  world.node.prefetches = () => Promise.resolve({ items: [ofOthers, own] });
  await world.clock.advance(5_000);
  expect(now(id).nodes).toMatchObject([{ state: 'fetching' }]);
  own.state = 'cached';
  await world.clock.runUntil(() => now(id).state === 'done', 60_000);
});
