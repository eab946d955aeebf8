import { afterEach, expect, test } from 'vitest';
import { aClaim, aPool, SOME_DIGEST } from '../../test/support/builders.ts';
import { OperatorWorld } from '../../test/support/operator-world.ts';

let world: OperatorWorld;
afterEach(() => world.stop());

/** One node with a standby pod; two others that have the code, one of which gives none. */
async function aWorld(options: { peerUrl?: string }): Promise<OperatorWorld> {
  world = await OperatorWorld.start([aPool('nodejs', { replicas: 2 })], options);
  await world.untilStandby('nodejs', 2);
  const { nodes } = world.operator;
  const has = { pods: [], digests: [SOME_DIGEST] };
  nodes.apply('giver', { type: 'SNAPSHOT', node: 'giver', ...has, peerUrl: 'https://10.0.0.2:8444' });
  nodes.apply('keeper', { type: 'SNAPSHOT', node: 'keeper', ...has });
  return world;
}

const claim = (id: string) =>
  world.run(world.operator.claims.claim('default', 'nodejs', aClaim(id), new AbortController().signal));

test('a load names nodes that have the code and give it, and without them none', async () => {
  await aWorld({ peerUrl: 'https://10.0.0.1:8444' });
  await claim('one');
  world.operator.nodes.silence('giver');
  await claim('two');
  expect(world.node.loads.map(({ peers }) => peers)).toEqual([['https://10.0.0.2:8444'], []]);
});

test('a node that has the code is told of nobody, and one that takes no part neither', async () => {
  await aWorld({});
  await claim('one');
  world.operator.nodes.apply('node-1', { type: 'CACHED', digest: SOME_DIGEST });
  await claim('two');
  expect(world.node.loads.map(({ peers }) => peers)).toEqual([undefined, undefined]);
});
