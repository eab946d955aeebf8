import { describe, expect, it } from 'vitest';
import { aPool } from '../../test/support/builders.ts';
import type { WarmPool } from '../core/resources.ts';
import type { Stored } from '../engine/kube-client.ts';
import { ToldStatus } from './told-status.ts';

const KEY = 'default/nodejs';

function stored(resourceVersion: string, readyReplicas: number, uid = 'u'): Stored<WarmPool> {
  const pool = aPool();
  const metadata = { ...pool.metadata, uid, resourceVersion, creationTimestamp: '2026-01-01T00:00:00Z' };
  return { ...pool, metadata, status: { readyReplicas } };
}
const told = new ToldStatus();
const readyOf = (pool: Stored<WarmPool>): number | undefined => told.latest(KEY, pool).status?.readyReplicas;

describe('ToldStatus', () => {
  it.each([
    ['of before the write: what was written', '9', 3],
    ['of the write', '10', 1],
    ['of after it: what somebody else has written', '11', 1],
    ['without an order', 'x', 3],
  ])('gives, for a view %s', (_, version, ready) => {
    told.told(KEY, stored('10', 3));
    expect(readyOf(stored(version, 1))).toBe(ready);
  });

  it('says nothing of another pool of the same name, of one that is forgotten, and of one that the view has caught up with', () => {
    told.told(KEY, stored('10', 3));
    expect(readyOf(stored('9', 1, 'another'))).toBe(1);
    told.told(KEY, stored('10', 3));
    told.forget(KEY);
    expect(readyOf(stored('9', 1))).toBe(1);
    told.told(KEY, stored('10', 3));
    readyOf(stored('12', 1));
    expect(readyOf(stored('9', 1))).toBe(1);
  });
});
