import { expect, inject, test } from 'vitest';
import { aClaimInput, aPool } from '../support/builders.ts';
import { callsBetween, countApiCalls } from './stand-in/api-calls.ts';
import { inParallel } from './stand-in/in-parallel.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const POOL = 'nodejs';
const STANDBY = 20;
const LIMIT_MS = 60_000;
/** Counts are written this far apart, at least; see operator/controllers/status-pace.ts. */
const STATUS_EVERY_MS = 250;

test.skipIf(access === undefined)(
  'a claim from its request to its release is one patch, one new pod and one deletion; the pool tells its counts now and then',
  async () => {
    await using world = await StandInWorld.start(access);
    const operator = await world.startOperator();
    await operator.untilServing();
    await world.createPool(aPool(POOL, { replicas: STANDBY }));
    await world.untilFull(POOL, STANDBY);

    const before = await countApiCalls(world.admin);
    const startedMs = performance.now();
    const ids = Array.from({ length: STANDBY }, (_, index) => `counted-${index}`);
    const answers = await inParallel(ids, STANDBY, (id) =>
      world.claims.claim(operator.url, world.namespace, POOL, aClaimInput(id)),
    );
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 201));
    await world.untilFull(POOL, STANDBY);
    const refilled = callsBetween(before, await countApiCalls(world.admin));
    await inParallel(ids, STANDBY, (id) => world.claims.release(operator.url, world.namespace, id));
    await until('the instances to be gone', LIMIT_MS, async () => (await world.pods(POOL)).length === STANDBY);
    const released = callsBetween(before, await countApiCalls(world.admin));
    const elapsedMs = performance.now() - startedMs;

    const count = (calls: Record<string, number>, call: string): number => calls[call] ?? 0;
    expect([count(refilled, 'PATCH pods'), count(refilled, 'POST pods')]).toEqual([STANDBY, STANDBY]);
    expect([count(released, 'PATCH pods'), count(released, 'POST pods')]).toEqual([STANDBY, STANDBY]);
    expect(count(released, 'POST events') + count(released, 'GET pods') + count(released, 'PUT pods')).toBe(0);
    expect(count(released, 'PATCH warmpools/status')).toBeLessThanOrEqual(Math.ceil(elapsedMs / STATUS_EVERY_MS) + 1);
  },
);
