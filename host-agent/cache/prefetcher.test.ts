import { expect, test } from 'vitest';
import type { CodeReference } from '@warmpool/protocol/fields.ts';
import { codeSchema } from '@warmpool/protocol/fields.ts';
import { hostError } from '../errors.ts';
import type { FetchProgress } from './code-fetch.ts';
import { Prefetcher } from './prefetcher.ts';

const codeOf = (key: string): CodeReference =>
  codeSchema.parse({ key, digest: `sha256:${Buffer.from(key).toString('hex').padEnd(64, '0')}`, format: 'tar' });

/** A cache whose fetches end when the test says so. */
function aCache() {
  const running = new Map<string, PromiseWithResolvers<void>>();
  const progress = new Map<string, FetchProgress>();
  return {
    running,
    progress,
    prefetch: ({ key = '' }: CodeReference): Promise<void> => {
      const ending = Promise.withResolvers<void>();
      running.set(key, ending);
      return ending.promise;
    },
    progressOf: ({ key = '' }: CodeReference) => progress.get(key),
  };
}

test('a prefetch tells how far it is, runs beside one other, and is one however often it is asked for', async () => {
  const cache = aCache();
  const prefetcher = new Prefetcher({ cache, onProblem: () => {} });
  const codes = ['a', 'b', 'c'].map(codeOf);
  for (const code of [...codes, ...codes]) expect(prefetcher.start(code).state).toBe('queued');
  await expect.poll(() => [...cache.running.keys()]).toEqual(['a', 'b']);
  const priority = { kind: 'prefetch' as const, deadlineUnixMs: 0 };
  cache.progress.set('a', { priority, isStarted: true, receivedBytes: 70, sizeBytes: 100 });
  expect(prefetcher.list()).toMatchObject([
    { digest: codes[0]?.digest, state: 'fetching', receivedBytes: 70, sizeBytes: 100 },
    { state: 'queued' },
    { state: 'queued' },
  ]);
  cache.running.get('a')?.resolve();
  cache.running.get('b')?.reject(hostError.objectNotFound('object b'));
  await expect.poll(() => prefetcher.list().map(({ state }) => state)).toEqual(['cached', 'failed', 'queued']);
  expect(prefetcher.list()[1]?.error).toEqual({ code: 'ObjectNotFound', message: 'object b does not exist' });
  expect([...cache.running.keys()]).toEqual(['a', 'b', 'c']);
  // what has ended begins again
  expect(prefetcher.start(codeOf('b')).state).toBe('queued');
});

test('a thousand may wait, one more is told to come back', () => {
  const prefetcher = new Prefetcher({ cache: aCache(), onProblem: () => {} });
  for (let index = 0; index < 1_002; index++) prefetcher.start(codeOf(`k${index}`));
  expect(() => prefetcher.start(codeOf('one-more'))).toThrow('1000 prefetches are waiting on this node already');
});
