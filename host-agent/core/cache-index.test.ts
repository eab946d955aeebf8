import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CacheEntry } from './cache-index.ts';
import { CacheIndex } from './cache-index.ts';

const anEntry = (key: string, sizeBytes = 10): CacheEntry => ({
  key,
  digest: `sha256:${key}`,
  sizeBytes,
  lastUsedUnixMs: 0,
  isVerified: true,
});

describe('the cache index', () => {
  test('evicts what was not used for longest', () => {
    const index = new CacheIndex(30);
    for (const key of ['a', 'b', 'c']) index.add(anEntry(key));
    index.get('a', 1);
    expect(index.reserve(20).map(({ key }) => key)).toEqual(['b', 'c']);
    expect(index.usedBytes).toBe(10);
  });

  test('never evicts what a pod uses, and refuses what does not fit beside it', () => {
    const index = new CacheIndex(30);
    for (const key of ['a', 'b', 'c']) index.add(anEntry(key));
    index.pin('a', 'pod-1');
    index.pin('a', 'pod-2');
    index.unpin('pod-1');
    expect(index.reserve(20).map(({ key }) => key)).toEqual(['b', 'c']);
    expect(() => index.reserve(1)).toThrow(/of 30 bytes 10 are in use by running pods and 20 by other fetches/);
    index.giveBack(20);
    index.unpin('pod-2');
    expect(index.reserve(30).map(({ key }) => key)).toEqual(['a']);
  });

  test('keeps an entry that was pinned before it arrived', () => {
    const index = new CacheIndex(30);
    index.pin('a', 'pod-1');
    index.add(anEntry('a'));
    expect(index.shrinkTo(0)).toEqual([]);
    expect([...index.entries()]).toMatchObject([{ key: 'a', inUse: 1 }]);
  });

  test('stays within its limit and keeps its books whatever happens', () => {
    const step = fc.record({
      act: fc.constantFrom('add', 'pin', 'unpin', 'get'),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      holder: fc.constantFrom('p1', 'p2', 'p3'),
      sizeBytes: fc.integer({ min: 1, max: 15 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = new CacheIndex(30);
        const pins = new Map<string, string>();
        for (const { act, key, holder, sizeBytes } of steps) {
          if (act === 'pin') {
            index.pin(key, holder);
            pins.set(holder, key);
          } else if (act === 'unpin') {
            index.unpin(holder);
            pins.delete(holder);
          } else if (act === 'get') index.get(key, 1);
          else if (!index.has(key)) {
            let evicted: CacheEntry[] = [];
            try {
              evicted = index.reserve(sizeBytes);
              index.add(anEntry(key, sizeBytes));
              index.giveBack(sizeBytes);
            } catch {
              // full of what is in use
            }
            const pinned = new Set(pins.values());
            expect(evicted.filter((entry) => pinned.has(entry.key))).toEqual([]);
          }
          const entries = [...index.entries()];
          expect(index.usedBytes).toBe(entries.reduce((sum, entry) => sum + entry.sizeBytes, 0));
          expect(index.usedBytes).toBeLessThanOrEqual(30);
          for (const { key, inUse } of entries) {
            expect(inUse).toBe([...pins.values()].filter((pinned) => pinned === key).length);
          }
        }
      }),
    );
  });

  test('lets an entry in use grow while there is room, and evicts it with all it has grown by', () => {
    const index = new CacheIndex(30);
    for (const key of ['a', 'b']) index.add(anEntry(key));
    expect(index.grow('a', 5, 27)).toBe(false);
    index.pin('a', 'preparation');
    expect([index.grow('a', 8, 27), index.grow('a', 7, 27), index.usedBytes]).toEqual([false, true, 27]);
    index.unpin('preparation');
    index.get('b', 1);
    expect(index.shrinkTo(10).map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([['a', 17]]);
    expect(index.usedBytes).toBe(10);
  });
});
