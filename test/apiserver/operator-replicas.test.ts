import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { isClaimed } from '@warmpool/operator/core/pod-view.ts';
import { aClaimInput, aPool } from '../support/builders.ts';
import type { ClaimAnswer } from './stand-in/claim-client.ts';
import { inParallel } from './stand-in/in-parallel.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const POOL = 'nodejs';

describe.skipIf(access === undefined)('two operator replicas with a Lease', () => {
  let world: StandInWorld;
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  test('only the leader serves; the other says so and when to come back, and is not ready', async () => {
    world = await StandInWorld.start(access);
    const leader = await world.startOperator({ isReplica: true });
    await leader.untilServing();
    const standby = await world.startOperator({ isReplica: true });
    await world.createPool(aPool(POOL, { replicas: 3 }));
    await world.untilFull(POOL, 3);

    const refused = await world.claims.claim(standby.url, world.namespace, POOL, aClaimInput('one'));
    expect(refused.status).toBe(503);
    expect(refused.error?.code).toBe('NotLeader');
    expect(Number(refused.retryAfter)).toBeGreaterThanOrEqual(1);
    expect((await world.claims.get(standby.url, world.namespace, 'one')).status).toBe(503);
    expect((await world.claims.release(standby.url, world.namespace, 'one')).status).toBe(503);
    expect(await standby.ops('/readyz')).toBe(503);
    expect(await standby.ops('/healthz')).toBe(200);
    expect(await leader.ops('/readyz')).toBe(200);

    const served = await world.claims.claim(leader.url, world.namespace, POOL, aClaimInput('one'));
    expect(served.status).toBe(201);
    expect(world.processes.loads.length).toBe(1);
  });

  test('SIGTERM hands the lease over at once and loses no claim that was in flight', { timeout: 120_000 }, async () => {
    world = await StandInWorld.start(access, { loadMs: 300 });
    const first = await world.startOperator({ isReplica: true });
    await first.untilServing();
    const second = await world.startOperator({ isReplica: true });
    await world.createPool(aPool(POOL, { replicas: 60 }));
    await world.untilFull(POOL, 60);

    const ids = Array.from({ length: 40 }, (_, index) => `in-flight-${index}`);
    const answering = inParallel(ids, ids.length, (id) =>
      world.claims.claim(first.url, world.namespace, POOL, aClaimInput(id)),
    );
    await until('loads to be under way', 10_000, () => world.processes.loads.length >= 10);
    const startedMs = performance.now();
    const stopping = first.terminate();
    const answers = await answering;
    await second.untilServing();
    const handedOverMs = performance.now() - startedMs;
    expect(await stopping).toBe(0);
    const answered = answers.filter(({ status }) => status === 201);
    process.stdout.write(
      `handed over after ${handedOverMs.toFixed(0)} ms; ${answered.length} of ${ids.length} claims answered by the old leader\n`,
    );
    // a lease that is not released runs out only after 15 s
    expect(handedOverMs).toBeLessThan(10_000);
    // a load that had begun is answered by the one who began it
    expect(answered.length).toBeGreaterThanOrEqual(10);

    const again = await inParallel(ids, ids.length, async (id): Promise<ClaimAnswer> => {
      for (let attempt = 0; ; attempt++) {
        const answer = await world.claims.claim(second.url, world.namespace, POOL, aClaimInput(id));
        if (answer.status === 201 || attempt === 20) return answer;
        await delay(100);
      }
    });
    expect(again.map(({ status, error }) => [status, error])).toEqual(ids.map(() => [201, undefined]));
    const uids = new Map(again.map(({ claim }) => [claim?.claimId, claim?.pod?.uid]));
    for (const { claim } of answered) expect(uids.get(claim?.claimId ?? '')).toBe(claim?.pod?.uid);
    await world.untilFull(POOL, 60);
    const claimed = (await world.pods(POOL)).filter(isClaimed).map((pod) => pod.metadata.uid);
    expect(new Set(claimed)).toEqual(new Set(uids.values()));
    expect(claimed.length).toBe(ids.length);
  });
});
