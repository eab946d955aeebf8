import { expect, test } from 'vitest';
import { CodeSpread, type CodeArrival } from './code-spread.ts';

const DIGEST = 'sha256:d';

function aSpread(holders: string[] = []) {
  const held = new Set(holders);
  const silent = new Set<string>();
  const spread = new CodeSpread({
    nodesWith: () => (held.size === 0 ? undefined : held),
    peerUrl: (node) => (silent.has(node) ? undefined : `http://${node}`),
  });
  return { spread, held, silent, begin: (node: string): CodeArrival | undefined => spread.begin(DIGEST, node) };
}

test('a node that has the code, or gives none, is told of nobody', () => {
  const { begin, silent } = aSpread(['a']);
  silent.add('quiet');
  expect(begin('a')).toBeUndefined();
  expect(begin('quiet')).toBeUndefined();
  expect(begin('b')?.peers).toEqual(['http://a']);
});

test('two nodes read the origin, all others get the code from those before them, each of which gives to four at most', () => {
  const { begin } = aSpread();
  const peers = Array.from({ length: 1_000 }, (_, index) => begin(`n${index}`)?.peers ?? []);
  expect(peers.slice(0, 2)).toEqual([[], []]);
  expect(peers.slice(2).filter((named) => named.length === 0)).toEqual([]);
  const firsts = Map.groupBy(peers.slice(2), ([first]) => first);
  for (const [giver, given] of firsts) expect([giver, given.length <= 4]).toEqual([giver, true]);
  for (const [index, named] of peers.entries()) {
    for (const url of named) expect(Number(url.slice('http://n'.length))).toBeLessThan(index);
  }
});

test('who could not get it is not named again: the next reads the origin in its place', () => {
  const { begin } = aSpread();
  const [a] = [begin('a'), begin('b')];
  a?.end('failed');
  expect(begin('c')?.peers).toEqual([]);
  expect(begin('d')?.peers).toEqual(['http://b', 'http://c']);
});

test('who has got it is named while others are on their way, and nothing is kept when none is', () => {
  const { spread, begin } = aSpread();
  const arrivals = ['a', 'b', 'c'].map(begin);
  arrivals[0]?.end('arrived');
  const d = begin('d');
  expect(d?.peers).toContain('http://a');
  for (const arrival of [...arrivals.slice(1), d]) arrival?.end('arrived');
  expect(spread.size).toBe(0);
});

test('two loads on one node are one arrival', () => {
  const { spread, begin } = aSpread();
  const [one, other] = [begin('a'), begin('a')];
  expect(one).toBe(other);
  one?.end('arrived');
  expect(spread.size).toBe(1);
  other?.end('arrived');
  expect(spread.size).toBe(0);
});

test('of those that have it, not always the same gives first', () => {
  const { begin } = aSpread(['a', 'b', 'c']);
  const firsts = ['x', 'y', 'z'].map((node) => {
    const arrival = begin(node);
    arrival?.end('arrived');
    return arrival?.peers[0];
  });
  expect(new Set(firsts).size).toBe(3);
});

test('who is not heard any more is not named', () => {
  const { begin, silent } = aSpread(['a', 'b']);
  silent.add('a');
  expect(begin('x')?.peers).toEqual(['http://b']);
});
