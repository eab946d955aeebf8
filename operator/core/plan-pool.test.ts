import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aPool } from '../../test/support/builders.ts';
import { planPool, type Member, type PoolPlanInput } from './plan-pool.ts';

const NOW = 1_000_000;

function aMember(uid: string, change: Partial<Member> = {}): Member {
  return {
    uid,
    isReady: true,
    isReserved: false,
    isUpdated: true,
    trouble: undefined,
    createdAtUnixMs: NOW - 5_000,
    awaitedSinceUnixMs: NOW - 5_000,
    ...change,
  };
}

type Rollout = PoolPlanInput['spec']['rollout'];

function plan(
  replicas: number,
  members: Member[],
  change: Partial<PoolPlanInput> = {},
  rollout: Partial<Rollout> = {},
) {
  const { spec } = aPool('p', { replicas, rollout });
  return planPool({ spec, members, isCacheBehind: false, createNotBeforeUnixMs: 0, nowUnixMs: NOW, ...change });
}

describe('planPool', () => {
  it('makes what is missing', () => {
    expect(plan(3, [aMember('a')]).create).toBe(2);
  });

  it('does nothing when the pool is as it should be', () => {
    expect(plan(2, [aMember('a'), aMember('b')])).toEqual({
      create: 0,
      remove: [],
      requeueAfterMs: undefined,
      failedBoots: 0,
    });
  });

  it('creates nothing while the cache has not shown its own last writes', () => {
    expect(plan(3, [], { isCacheBehind: true }).create).toBe(0);
  });

  it('replaces a dead pod in the same pass', () => {
    const result = plan(1, [aMember('a', { trouble: 'exit code 1', isReady: false })]);
    expect(result.remove).toEqual([{ uid: 'a', reason: 'Dead', message: 'exit code 1' }]);
    expect(result.create).toBe(1);
  });

  it('replaces a pod that is not standby in time, and looks again just when the next one would be late', () => {
    const result = plan(2, [
      aMember('late', { isReady: false, awaitedSinceUnixMs: NOW - 60_000 }),
      aMember('booting', { isReady: false, awaitedSinceUnixMs: NOW - 50_000 }),
    ]);
    expect(result.remove.map(({ uid, reason }) => [uid, reason])).toEqual([['late', 'Stuck']]);
    expect(result.requeueAfterMs).toBe(10_000);
  });

  it('gives pods that were made with many others more time, so that a large pool fills on a small node; but not for ever', () => {
    const booting = (count: number, ageMs: number): Member[] => {
      const since = { createdAtUnixMs: NOW - ageMs, awaitedSinceUnixMs: NOW - ageMs };
      return Array.from({ length: count }, (_, i) => aMember(`b${i}`, { isReady: false, ...since }));
    };
    expect(plan(100, booting(100, 599_000))).toMatchObject({ remove: [], requeueAfterMs: 1_000 });
    expect(plan(100, booting(100, 600_000)).remove.length).toBe(100);
    expect(plan(1_000, booting(1_000, 600_000)).remove.length).toBe(1_000);
    // the last of a hundred: they stood in the same queue as those that are through
    const through = Array.from({ length: 95 }, (_, i) => aMember(`r${i}`, { createdAtUnixMs: NOW - 120_000 }));
    expect(plan(100, [...booting(5, 120_000), ...through]).remove).toEqual([]);
    // made long after the others: nobody is in front of it
    expect(plan(96, [...booting(1, 60_000), ...through]).remove.length).toBe(1);
  });

  it('waits out the pause after failed boots', () => {
    const result = plan(1, [], { createNotBeforeUnixMs: NOW + 700 });
    expect(result).toMatchObject({ create: 0, requeueAfterMs: 700 });
  });

  it('scales down booting pods first, then outdated ones, then the oldest', () => {
    const members = [
      aMember('old', { createdAtUnixMs: 1 }),
      aMember('new'),
      aMember('outdated', { isUpdated: false }),
      aMember('booting', { isReady: false }),
    ];
    const removed = (replicas: number): string[] => plan(replicas, members).remove.map(({ uid }) => uid);
    expect(removed(3)).toEqual(['booting']);
    expect(removed(2)).toEqual(['booting', 'outdated']);
    expect(removed(1)).toEqual(['booting', 'outdated', 'old']);
  });

  it('never removes a pod that a claim has in hand, not even when it looks dead', () => {
    const reserved = aMember('a', {
      isReserved: true,
      trouble: 'its runtime-agent is loading although no claim has it',
      isReady: false,
    });
    expect(plan(0, [reserved]).remove).toEqual([]);
  });

  it('replaces outdated ready pods one at a time, and none while another is missing', () => {
    const old = ['a', 'b', 'c'].map((uid) => aMember(uid, { isUpdated: false }));
    expect(plan(3, old).remove.map(({ uid }) => uid)).toEqual(['a']);
    expect(plan(3, [...old.slice(1), aMember('booting', { isReady: false })]).remove).toEqual([]);
  });

  it('makes new pods beyond the size before it removes old ones, when the pool lets it', () => {
    const surge = { maxUnavailable: 0, maxSurge: 2 };
    const old = ['a', 'b', 'c'].map((uid) => aMember(uid, { isUpdated: false }));
    expect(plan(3, old, {}, surge)).toMatchObject({ create: 2, remove: [] });
    expect(plan(3, [...old, aMember('d', { isReady: false }), aMember('e')], {}, surge)).toMatchObject({
      create: 0,
      remove: [{ uid: 'a', reason: 'Outdated' }],
    });
    const last = [aMember('c', { isUpdated: false }), aMember('d'), aMember('e')];
    expect(plan(3, last, {}, surge), 'one is left to replace').toMatchObject({ create: 1, remove: [] });
  });

  it('goes on with a rollout when the pods beyond the size cannot be made', () => {
    const old = ['a', 'b', 'c'].map((uid) => aMember(uid, { isUpdated: false }));
    const result = plan(3, old, { createNotBeforeUnixMs: NOW + 700 }, { maxUnavailable: 1, maxSurge: 1 });
    expect(result).toMatchObject({ create: 0, remove: [{ uid: 'a', reason: 'Outdated' }] });
  });

  it('in every rollout: keeps as many ready as it says, never has more than it says, and ends', () => {
    const budget = fc.integer({ min: 0, max: 4 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        budget,
        budget,
        fc.infiniteStream(fc.boolean()),
        (size, down, up, boots) => {
          fc.pre(down + up > 0);
          const rollout = { maxUnavailable: down, maxSurge: up };
          let members = Array.from({ length: size }, (_, index) => aMember(`old-${index}`, { isUpdated: false }));
          let made = 0;
          for (let turn = 0; members.some(({ isUpdated }) => !isUpdated); turn++) {
            expect(turn).toBeLessThan(300);
            const { create, remove } = plan(size, members, {}, rollout);
            const removed = new Set(remove.map(({ uid }) => uid));
            members = members.filter(({ uid }) => !removed.has(uid));
            for (let index = 0; index < create; index++) members.push(aMember(`new-${made++}`, { isReady: false }));
            expect(members.filter(({ isReady }) => isReady).length).toBeGreaterThanOrEqual(size - down);
            expect(members.length).toBeLessThanOrEqual(size + up);
            const isBooted = turn % 4 === 3 || boots.next().value === true;
            members = members.map((member) => (isBooted ? { ...member, isReady: true } : member));
          }
          expect(made, 'nothing is made twice').toBeLessThanOrEqual(size);
        },
      ),
    );
  });

  it('in every state: creates only up to the size, removes only down to it, and touches no pod in hand', () => {
    const member = fc.record({
      isReady: fc.boolean(),
      isReserved: fc.boolean(),
      isUpdated: fc.boolean(),
      trouble: fc.option(fc.constant('dead'), { nil: undefined }),
      createdAtUnixMs: fc.integer({ min: NOW - 100_000, max: NOW }),
      awaitedSinceUnixMs: fc.integer({ min: NOW - 100_000, max: NOW }),
    });
    fc.assert(
      fc.property(
        fc.array(member, { maxLength: 12 }),
        fc.integer({ min: 0, max: 10 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 3 }),
        (list, replicas, isCacheBehind, maxSurge) => {
          const members = list.map((each, index) => ({ ...each, uid: String(index) }));
          const { create, remove } = plan(replicas, members, { isCacheBehind }, { maxSurge });
          const removed = new Set(remove.map(({ uid }) => uid));
          const left = members.filter(({ uid }) => !removed.has(uid)).length;
          expect(left + create).toBeLessThanOrEqual(Math.max(replicas + maxSurge, members.length));
          if (create > 0) expect(left + create).toBeLessThanOrEqual(replicas + maxSurge);
          expect(remove.filter(({ reason }) => reason === 'ScaleDown').length).toBeLessThanOrEqual(
            Math.max(0, members.length - replicas),
          );
          for (const { uid, isReserved } of members) if (isReserved) expect(removed.has(uid)).toBe(false);
          expect(removed.size).toBe(remove.length);
        },
      ),
    );
  });
});
