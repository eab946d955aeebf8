import { MAX_NODE_DIGESTS } from '@warmpool/protocol/host-agent-api.ts';
import { expect, test } from 'vitest';
import { CodeLocations } from './code-locations.ts';

const nodes = (locations: CodeLocations, digest: string): string[] => [...(locations.nodesWith(digest) ?? [])];

test('what a node says anew replaces what it said, and nothing of other nodes', () => {
  const locations = new CodeLocations();
  locations.replace('n1', ['a', 'b']);
  locations.add('n2', 'a');
  locations.replace('n1', ['b', 'c']);
  expect([nodes(locations, 'a'), nodes(locations, 'b'), nodes(locations, 'c')]).toEqual([['n2'], ['n1'], ['n1']]);
  locations.remove('n1', 'b');
  locations.replace('n2', []);
  expect([nodes(locations, 'a'), nodes(locations, 'b'), nodes(locations, 'c')]).toEqual([[], [], ['n1']]);
});

test('of a node that names more digests than anybody needs, the newest are remembered', () => {
  const locations = new CodeLocations();
  for (let index = 0; index <= MAX_NODE_DIGESTS; index++) locations.add('n', `d${index}`);
  expect(nodes(locations, 'd0')).toEqual([]);
  expect(nodes(locations, 'd1')).toEqual(['n']);
  expect(nodes(locations, `d${MAX_NODE_DIGESTS}`)).toEqual(['n']);
});
