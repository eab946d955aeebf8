import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { until } from '../kubectl.ts';
import { FaultWorld } from './fault-world.ts';
import { killProgram, takeAway } from './programs.ts';

const access = inject('cluster');
const LIMIT_MS = 60_000;
const AWAY_MS = 30_000;
/** Scheduler and kubelet try again after up to a minute each, and only then is there a new pod for a claim. */
const ANSWER_LIMIT_MS = 200_000;

describe.skipIf(access?.own === undefined)('the control plane of a real node,', () => {
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-control-plane');
  });
  afterAll(() => world?.stop());

  test('kubelet killed: claims go on, and the next one finds every pod as it was', async () => {
    const kept = await world.claim('kept-by-kubelet');
    const claims = await world.claimingDuring('kubelet', 1, async () => {
      await killProgram(world.nodeFolder, 'kubelet');
      await until('the kubelet to be back', LIMIT_MS, async () => {
        const { pod } = kept;
        const path = `/api/v1/nodes/${pod?.node}/proxy/healthz`;
        return (await world.kubectl.run(['get', '--raw', path])) === 'ok';
      });
    });
    expect(claims).toBeGreaterThan(0);
    await world.settled();
  });

  test('apiserver away for 30 s: instances serve on, claims are refused in words or answered, and nobody has to help', async () => {
    const kept = await world.claim('kept-by-apiserver');
    const inFlight: Promise<unknown>[] = [];
    {
      await using _away = await takeAway(world.nodeFolder, 'kube-apiserver');
      const backMs = performance.now() + AWAY_MS;
      for (let turn = 0; performance.now() < backMs; turn += 1) {
        if (turn < 10) inFlight.push(world.claimant.send(world.pool, `away-${turn}`, {}, ANSWER_LIMIT_MS));
        expect(await world.claimant.invoke(kept)).toBe('kept-by-apiserver');
        await delay(1_000);
      }
    }
    await Promise.all(inFlight);
    const outcomes = world.claimant.outcomes.filter(({ claimId }) => claimId.startsWith('away-'));
    expect(outcomes.map(({ answer, ...tried }) => answer?.status ?? tried)).toEqual(outcomes.map(() => 201));
    const codes = new Set(outcomes.flatMap(({ refusals }) => refusals.map(({ code }) => code)));
    process.stdout.write(`while the apiserver was away: ${[...codes].join(', ')}\n`);
    expect([...codes].filter((code) => !CLEAR.has(code))).toEqual([]);
    await world.claimant.releaseAll();
    await world.settled();
  }, 400_000);
});

const CLEAR = new Set(['KubernetesUnavailable', 'NotLeader', 'AccessUnknown', 'ClaimDeadlineExceeded', 'PoolEmpty']);
