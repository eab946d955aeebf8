import type { Digest } from '@warmpool/protocol/fields.ts';
import { prefetchCodeRequestSchema, type PrefetchCodeRequest } from '@warmpool/protocol/prefetch-api.ts';
import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { expect, test } from 'vitest';
import { choosePrefetchNodes, namespaceOfPrefetch, prefetchId } from './prefetch-plan.ts';

const code = { key: 'a.tar', digest: `sha256:${'a'.repeat(64)}` as Digest, format: 'tar' } as const;
const wish = (change: Partial<PrefetchCodeRequest> = {}): PrefetchCodeRequest => ({ code, ...change });

test('nodes that have the code count first, then those with the most standby pods', () => {
  const candidates = [
    { node: 'c', hasCode: false, standbyPods: 1 },
    { node: 'b', hasCode: false, standbyPods: 5 },
    { node: 'a', hasCode: false, standbyPods: 5 },
    { node: 'z', hasCode: true, standbyPods: 0 },
  ];
  expect(choosePrefetchNodes(candidates, 10)).toEqual(['z', 'a', 'b', 'c']);
  expect(choosePrefetchNodes(candidates, 2)).toEqual(['z', 'a']);
});

test('the same code for the same nodes has one id, in whatever order and wherever it comes from', () => {
  const id = prefetchId(wish({ namespace: 'ns', pools: ['a', 'b'] }));
  expect(prefetchId(wish({ namespace: 'ns', pools: ['b', 'a', 'b'] }))).toBe(id);
  expect(prefetchId(wish({ namespace: 'ns', pools: ['a', 'b'], code: { ...code, key: 'elsewhere' } }))).toBe(id);
  const others = [
    wish({ namespace: 'other', pools: ['a', 'b'] }),
    wish({ namespace: 'ns', pools: ['a'] }),
    wish({ namespace: 'ns' }),
    wish({ namespace: 'ns', pools: ['a', 'b'], nodeCount: 3 }),
    wish({ namespace: 'ns', pools: ['a', 'b'], code: { ...code, format: 'zip' } }),
    wish(),
    wish({ nodes: ['a', 'b'] }),
  ].map(prefetchId);
  expect(new Set([id, ...others]).size).toBe(others.length + 1);
  expect([namespaceOfPrefetch(id), namespaceOfPrefetch(prefetchId(wish()))]).toEqual(['ns', undefined]);
});

test.each<[string, object, string]>([
  ['code', {}, 'is required'],
  ['code.digest', { code: { ...code, digest: 'abc' } }, 'must be "sha256:" followed by 64 lower-case hex digits'],
  ['pools', { code, pools: ['p'] }, 'needs namespace, which says whose pools these are'],
  ['nodes', { code, namespace: 'ns', nodes: ['n'] }, 'must not be given with namespace: its pools say which nodes'],
  ['nodes.0', { code, nodes: ['No Node'] }, 'must be the name of a node: lower-case letters, digits, "-" and "."'],
  ['nodeCount', { code, nodeCount: 0 }, 'must be at least 1'],
  ['selector', { code, selector: {} }, 'is not a known field'],
])('a wrong %s is told', (field, body, message) => {
  const { error } = prefetchCodeRequestSchema.safeParse(body);
  expect(error && fieldProblems(error)).toContainEqual({ field, message });
});
