import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { seededRandom } from '../../apiserver/seeded-random.ts';
import { until } from '../kubectl.ts';
import { POOL_NAMESPACE } from '../product.ts';
import { FaultWorld } from './fault-world.ts';
import { runtimeOf, shimOf } from './node-state.ts';
import { killProgram, killQuietly } from './programs.ts';

const access = inject('cluster');
const CLAIMS = 100;
const CLIENTS = 4;
const TEST_LIMIT_MS = 400_000;

describe.skipIf(access?.own === undefined)('a hundred claims on a real node, while everything is killed', () => {
  const seed = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
  const random = seededRandom(seed);
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.trunc(random() * items.length)];
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-storm');
  });
  afterAll(() => world?.stop());

  const anyPod = async (): Promise<string> => {
    const pods = [...(await world.pods('standby')), ...(await world.pods('claimed'))];
    const alive = pods.filter(({ metadata, status }) => !metadata.deletionTimestamp && status.phase === 'Running');
    return pick(alive)?.metadata.uid ?? '';
  };
  const faults = {
    operator: () => killProgram(world.nodeFolder, 'operator'),
    'host-agent': () => killProgram(world.nodeFolder, 'host-agent'),
    kubelet: () => killProgram(world.nodeFolder, 'kubelet'),
    apiserver: () => killProgram(world.nodeFolder, 'kube-apiserver'),
    runtime: async () => {
      const [runtime] = await runtimeOf(world.nodeFolder, await anyPod());
      if (runtime !== undefined) killQuietly(runtime.pid);
    },
    shim: async () => killQuietly(await shimOf(world.nodeFolder, await anyPod())),
    deletion: async () => {
      const name = pick(await world.pods('standby'))?.metadata.name ?? '';
      await world.kubectl.run(['delete', 'pod', name, '--namespace', POOL_NAMESPACE, '--wait=false']);
    },
  };

  test(
    `each is answered, none shares a pod, nothing is left over (SEED=${seed})`,
    { timeout: TEST_LIMIT_MS },
    async () => {
      process.stdout.write(`storm: SEED=${seed}\n`);
      const { claimant } = world;
      let next = 0;
      const client = async (): Promise<void> => {
        for (let turn = next++; turn < CLAIMS; turn = next++) {
          const claimId = `storm-${turn}`;
          const { answer } = await claimant.send(world.pool, claimId);
          if (answer?.claim === undefined) continue;
          // whoever answers there is this claim's; nobody may, since its pod may have been killed
          const said = await claimant.invoke(answer.claim).catch(() => claimId);
          expect(said).toBe(claimId);
          await claimant.release(claimId);
        }
      };
      const storm = async (): Promise<string[]> => {
        const done: string[] = [];
        // programs once, since the kubelet takes ever longer to restart one that dies again
        const programs = ['operator', 'host-agent', 'kubelet', 'apiserver'] as const;
        const pods = ['runtime', 'shim', 'deletion'] as const;
        const kinds = shuffled([...programs, ...pods, ...pods], random);
        for (const [index, kind] of kinds.entries()) {
          await until('the next fault’s turn', TEST_LIMIT_MS, async () => next >= (index * CLAIMS) / kinds.length);
          // what it would hurt may be away already, or an earlier fault is still felt
          const failure = await faults[kind]().then(
            () => '',
            () => ' (nothing there)',
          );
          done.push(`${kind}${failure} at ${next}`);
        }
        return done;
      };
      const [happened] = await Promise.all([storm(), ...Array.from({ length: CLIENTS }, client)]);
      process.stdout.write(`storm: ${happened.join(', ')}\n`);
      const statuses = claimant.outcomes.map(({ answer }) => answer?.status);
      expect(statuses).toHaveLength(CLAIMS);
      // 410: the instance was killed before its answer arrived
      expect(statuses.filter((status) => status !== 201 && status !== 410)).toEqual([]);
      await world.settled();
    },
  );
});

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
