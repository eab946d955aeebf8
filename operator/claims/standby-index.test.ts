import type { PodUid } from '@warmpool/protocol/fields.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoredPod } from '../core/pod-view.ts';
import { StandbyIndex, type Candidate } from './standby-index.ts';

function candidate(uid: string, node: string, isUpdated = true): Candidate {
  return { uid: uid as PodUid, node, epoch: 'e', isUpdated, pod: { metadata: { name: uid } } as unknown as StoredPod };
}

describe('StandbyIndex', () => {
  it('prefers a node that has the code', () => {
    const index = new StandbyIndex();
    index.offer('p', candidate('a', 'n1'));
    index.offer('p', candidate('b', 'n2'));
    expect(index.reserve('p', new Set(['n2']))?.uid).toBe('b');
  });

  it('takes turns among the nodes that have the code, and goes elsewhere when they have no pod left', () => {
    const index = new StandbyIndex();
    for (const node of ['a', 'b', 'c'])
      for (const count of [1, 2]) index.offer('p', candidate(`${node}${count}`, node));
    const withCode = new Set(['x', 'c', 'b']);
    const nodes = Array.from({ length: 6 }, () => index.reserve('p', withCode)?.node);
    expect(nodes).toEqual(['b', 'c', 'b', 'c', 'a', 'a']);
  });

  it('spreads over the nodes otherwise', () => {
    const index = new StandbyIndex();
    for (const uid of ['a1', 'a2', 'a3']) index.offer('p', candidate(uid, 'a'));
    for (const uid of ['b1', 'b2', 'b3']) index.offer('p', candidate(uid, 'b'));
    const nodes = Array.from({ length: 4 }, () => index.reserve('p', undefined)?.node);
    expect(nodes).toEqual(['a', 'b', 'a', 'b']);
  });

  it('prefers pods of the present template, but a node that has the code to them', () => {
    const index = new StandbyIndex();
    index.offer('p', candidate('old', 'n1', false));
    index.offer('p', candidate('old-with-code', 'n2', false));
    index.offer('p', candidate('new', 'n3'));
    index.offer('p', candidate('new-with-code', 'n2'));
    const uids = Array.from({ length: 4 }, () => index.reserve('p', new Set(['n2']))?.uid);
    expect(uids).toEqual(['new-with-code', 'old-with-code', 'new', 'old']);
  });

  it('takes a pod for outdated as soon as its pool has changed', () => {
    const index = new StandbyIndex();
    index.offer('p', candidate('a', 'n'));
    index.offer('p', candidate('b', 'n'));
    index.offer('p', candidate('a', 'n', false));
    expect([index.size('p'), index.reserve('p', undefined)?.uid]).toEqual([2, 'b']);
  });

  it('does not offer a reserved or retired pod again, whatever is said about it', () => {
    const index = new StandbyIndex();
    index.offer('p', candidate('a', 'n'));
    index.reserve('p', undefined);
    expect(index.offer('p', candidate('a', 'n'))).toBe(false);
    index.retire('a' as PodUid);
    expect(index.offer('p', candidate('a', 'n'))).toBe(false);
    expect(index.size('p')).toBe(0);
  });

  it('gives one pod to one taker, whatever happens in between', () => {
    const uids = ['a', 'b', 'c', 'd'];
    const step = fc.record({
      action: fc.constantFrom('offer', 'withdraw', 'reserve', 'retire', 'forget'),
      uid: fc.constantFrom(...uids),
      node: fc.constantFrom('n1', 'n2'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const index = new StandbyIndex();
        const held = new Set<string>();
        for (const { action, uid, node } of steps) {
          if (action === 'offer') index.offer('p', candidate(uid, node));
          else if (action === 'withdraw') index.withdraw(uid as PodUid);
          else if (action === 'retire') index.retire(uid as PodUid);
          else if (action === 'forget') {
            index.forget(uid as PodUid);
            held.delete(uid); // the object is gone: a pod by that uid never comes back in truth
          } else {
            const taken = index.reserve('p', new Set(['n2']));
            if (taken === undefined) continue;
            expect(held.has(taken.uid)).toBe(false);
            held.add(taken.uid);
          }
          expect(index.size('p')).toBe(uids.filter((each) => index.isOffered(each as PodUid)).length);
        }
      }),
    );
  });
});
