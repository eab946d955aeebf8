import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { SECRETS, type Secret } from '../../operator/core/resources.ts';
import { systemClock } from '../../operator/engine/clock.ts';
import { aSecret } from '../contract/kube-client/objects.ts';
import { ObservedReflector, type ObservedReflectorOptions } from './observed-reflector.ts';
import { seededRandom } from './seeded-random.ts';

const access = inject('apiserver');

describe.skipIf(access === undefined)('a reflector whose connection to the apiserver breaks', () => {
  let world: ObservedReflector;

  const prepare = async (options: ObservedReflectorOptions): Promise<void> => {
    if (access === undefined) throw new Error('no apiserver on this machine');
    world = await ObservedReflector.prepare(access, options);
    for (const name of ['a', 'b', 'c']) await create(name);
  };
  beforeEach(() => prepare({ stallMs: 1_500, pageSize: 2 }));
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  const create = (name: string): Promise<Secret> => world.direct.create(SECRETS, world.namespace, aSecret(name));
  const label = (name: string, value: string): Promise<Secret> =>
    world.direct.patch(SECRETS, world.namespace, name, { metadata: { labels: { value } } });
  const remove = (name: string): Promise<void> => world.direct.delete(SECRETS, world.namespace, name);
  /** Something of everything: an object that is new, one that changes twice, one that goes. */
  const change = async (): Promise<void> => {
    await create('new');
    await label('a', '1');
    await label('a', '2');
    await remove('b');
  };
  const watching = async (): Promise<void> => {
    world.start();
    await world.proxy.untilWatching();
  };

  test.each([
    ['is reset', () => world.proxy.openWatches.forEach((watch) => watch.reset())],
    ['ends in the middle of an event', () => world.proxy.openWatches.forEach((watch) => watch.cutInsideAnEvent())],
    ['is closed by the server', () => world.proxy.openWatches.forEach((watch) => watch.end())],
  ])('misses no event and does not list again when its watch %s', async (_what, breakIt) => {
    await watching();
    breakIt();
    await change();
    await world.converged();
    await label('c', 'later');
    await world.converged();
    expect(world.changes).toEqual(['+a', '+b', '+c', '+new', '~a', '~a', '-b', '~c']);
    expect(world.listCount).toBe(1);
  });

  test('notices a watch that is silent with its connection open, and gets what was lost in it', async () => {
    await watching();
    world.proxy.openWatches.forEach((watch) => watch.stall());
    await change();
    await world.converged();
    expect(world.reports).toContain('stalled');
  });

  test('lists again when its watch has expired, and tells what it missed', async () => {
    await watching();
    world.proxy.openWatches.forEach((watch) => watch.stall());
    await change();
    world.proxy.openWatches.forEach((watch) => watch.expire());
    await world.converged();
    expect(world.listCount).toBe(2);
    expect(world.changes).toEqual(['+a', '+b', '+c', '-b', '~a', '+new']);
  });

  test.each([
    [410, 'Expired', undefined],
    [429, 'TooManyRequests', 1],
    [500, 'InternalError', undefined],
  ])('converges when new watches are refused with %i', async (status, reason, retryAfter) => {
    await watching();
    world.proxy.next('watch', (call) => call.refuse(status, reason, retryAfter), 2);
    world.proxy.openWatches.forEach((watch) => watch.reset());
    await change();
    await world.converged();
  });

  test('stays away as long as Retry-After says', async () => {
    await watching();
    const refusedAtMs: number[] = [];
    world.proxy.next('watch', (call) => {
      refusedAtMs.push(systemClock.monotonic());
      call.refuse(429, 'TooManyRequests', 2);
    });
    world.proxy.next('watch', (call) => {
      refusedAtMs.push(systemClock.monotonic());
      return call.forward();
    });
    world.proxy.openWatches.forEach((watch) => watch.reset());
    await change();
    await world.converged();
    expect((refusedAtMs[1] ?? 0) - (refusedAtMs[0] ?? 0)).toBeGreaterThan(1_900);
  });

  test('misses nothing that happens between its list and a watch that breaks before it begins', async () => {
    const changed = Promise.withResolvers<void>();
    world.proxy.next('watch', async (call) => {
      await change();
      call.reset();
      changed.resolve();
    });
    world.start();
    await changed.promise;
    await world.converged();
    expect(world.changes).toEqual(['+a', '+b', '+c', '+new', '~a', '~a', '-b']);
    expect(world.listCount).toBe(1);
  });

  test('gets its first list through refusals and resets', async () => {
    world.proxy.next('list', (call) => call.refuse(500, 'InternalError'));
    world.proxy.next('list', (call) => call.reset());
    world.proxy.next('list', (call) => call.refuse(429, 'TooManyRequests', 1));
    world.start();
    await world.converged();
  });

  test('starts its list anew when a page of it has expired', async () => {
    world.proxy.next('list', (call) => call.forward());
    world.proxy.next('list', (call) => call.refuse(410, 'Expired'));
    world.start();
    await world.converged();
    expect(world.changes).toEqual(['+a', '+b', '+c']);
  });

  test('converges after any mix of faults and writes', async () => {
    const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
    process.stdout.write(`SEED=${seed}\n`);
    const random = seededRandom(seed);
    const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
    const faults: (() => void)[] = [
      () => world.proxy.openWatches.forEach((watch) => watch.reset()),
      () => world.proxy.openWatches.forEach((watch) => watch.end()),
      () => world.proxy.openWatches.forEach((watch) => watch.stall()),
      () => world.proxy.openWatches.forEach((watch) => watch.expire()),
      () => world.proxy.openWatches.forEach((watch) => watch.cutInsideAnEvent()),
      () => world.proxy.next('watch', (call) => call.reset()),
      () => world.proxy.next('watch', (call) => call.refuse(410, 'Expired')),
      () => world.proxy.next('list', (call) => call.refuse(500, 'InternalError')),
      () => world.proxy.next('list', (call) => call.reset()),
    ];
    const live = ['a', 'b', 'c'];
    await world[Symbol.asyncDispose]();
    await prepare({ stallMs: 15_000, pageSize: 2, clockSpeed: 10 });
    await watching();
    for (let round = 0; round < 12; round += 1) {
      pick(faults)();
      for (let step = 0; step < 8; step += 1) {
        const choice = random();
        if (choice < 0.4 || live.length === 0) {
          const name = `s${round}-${step}`;
          await create(name);
          live.push(name);
        } else if (choice < 0.8) await label(pick(live), `v${round}-${step}`);
        else await remove(live.splice(Math.floor(random() * live.length), 1)[0] ?? '');
        if (random() < 0.1) pick(faults)();
      }
      // Now and then the next fault meets a reflector that has not yet come over the last one.
      if (random() < 0.5) await world.converged(60_000);
    }
    await world.converged();
  });
});
