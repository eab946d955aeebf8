import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, inject, test } from 'vitest';
import { claimIdOf, isClaimed, isStandbyLabelled } from '@warmpool/operator/core/pod-view.ts';
import { aClaimInput, aPool } from '../support/builders.ts';
import { seededRandom } from './seeded-random.ts';
import type { ClaimAnswer } from './stand-in/claim-client.ts';
import { inParallel } from './stand-in/in-parallel.ts';
import type { OperatorProcess } from './stand-in/operator-process.ts';
import { StandInWorld, until } from './stand-in/stand-in-world.ts';

const access = inject('apiserver');
const POOL = 'nodejs';
const STANDBY = 120;
const BURST = 100;
const AT_ONCE = 25;
/** Between two loads of a burst some milliseconds pass; the kill comes anywhere among them. */
const LATEST_KILL_MS = 20;
const SETTLED_LIMIT_MS = 60_000;

describe.skipIf(access === undefined)('an operator that is killed in a burst of claims', () => {
  const seed = Math.trunc(Math.random() * 2 ** 31);
  const random = seededRandom(seed);
  let world: StandInWorld;
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
  });

  test(`and started again gives every claim exactly one instance (seed ${seed})`, { timeout: 240_000 }, async () => {
    world = await StandInWorld.start(access, { loadMs: 20 });
    let operator = await world.startOperator();
    await operator.untilServing();
    await world.createPool(aPool(POOL, { replicas: STANDBY }));
    await world.untilFull(POOL, STANDBY);

    for (const round of [1, 2, 3, 4]) {
      const ids = claimIds(`r${round}`);
      const moment = { loads: Math.floor(random() * BURST), laterMs: random() * LATEST_KILL_MS };
      const answeredBefore = await burstWithKill(world, operator, ids, moment);
      operator = await world.startOperator();
      await operator.untilServing();
      await retryAndJudge(world, [operator], ids, answeredBefore, `round ${round}, killed after ${moment.loads} loads`);
      await releaseAll(world, operator, ids);
    }
  });

  test(`leaves every claim to the replica that survives (seed ${seed})`, { timeout: 240_000 }, async () => {
    world = await StandInWorld.start(access, { loadMs: 20 });
    const first = await world.startOperator({ isReplica: true });
    await first.untilServing();
    const second = await world.startOperator({ isReplica: true });
    await world.createPool(aPool(POOL, { replicas: STANDBY }));
    await world.untilFull(POOL, STANDBY);

    const ids = claimIds('two');
    const moment = { loads: Math.floor(random() * BURST), laterMs: random() * LATEST_KILL_MS };
    const answeredBefore = await burstWithKill(world, first, ids, moment);
    const killedMs = performance.now();
    await second.untilServing();
    const tookOverMs = performance.now() - killedMs;
    const words = `two replicas, killed after ${moment.loads} loads, taken over after ${tookOverMs.toFixed(0)} ms`;
    await retryAndJudge(world, [first, second], ids, answeredBefore, words);
  });
});

function claimIds(prefix: string): string[] {
  return Array.from({ length: BURST }, (_, index) => `${prefix}-${index}`);
}

/** Sends all claims and kills the operator among them; gives the pod of each claim that was answered. */
async function burstWithKill(
  world: StandInWorld,
  operator: OperatorProcess,
  ids: string[],
  moment: { loads: number; laterMs: number },
): Promise<Map<string, string>> {
  const loadsBefore = world.processes.loads.length;
  const isTheMoment = (): boolean => world.processes.loads.length - loadsBefore >= moment.loads;
  const kill = async (): Promise<void> => {
    await until(`${moment.loads} loads`, 30_000, isTheMoment, undefined, 1);
    await delay(moment.laterMs);
    await operator.kill9();
  };
  const claim = (id: string): Promise<ClaimAnswer> =>
    world.claims.claim(operator.url, world.namespace, POOL, aClaimInput(id));
  const [answers] = await Promise.all([inParallel(ids, AT_ONCE, claim), kill()]);
  return podsOf(answers);
}

/** Every claim is sent again until it is answered; then nothing but these instances and a full pool may be left. */
async function retryAndJudge(
  world: StandInWorld,
  operators: OperatorProcess[],
  ids: string[],
  answeredBefore: Map<string, string>,
  words: string,
): Promise<void> {
  const startedMs = performance.now();
  const answers = await inParallel(ids, AT_ONCE, (id) => claimUntilAnswered(world, operators, id));
  const retriedMs = performance.now() - startedMs;
  const pods = podsOf(answers);
  expect(pods.size).toBe(ids.length);
  expect(new Set(pods.values()).size).toBe(ids.length);
  for (const [id, uid] of answeredBefore) expect([id, pods.get(id)]).toEqual([id, uid]);

  const expected = [...pods].map(([id, uid]) => `${id} ${uid}`).sort();
  const carried = async (): Promise<string[]> =>
    (await world.pods(POOL))
      .filter((pod) => !isStandbyLabelled(pod))
      .map((pod) => `${claimIdOf(pod)} ${pod.metadata.uid}`)
      .sort();
  const loaded = (): string[] =>
    world.processes
      .loadedNow()
      .map(({ podUid, claimId }) => `${claimId} ${podUid}`)
      .sort();
  await until(
    'only the answered claims to have pods and processes',
    SETTLED_LIMIT_MS,
    async () => isSame(await carried(), expected) && isSame(loaded(), expected),
    async () => `; pods: ${difference(await carried(), expected)}; processes: ${difference(loaded(), expected)}`,
  );
  await world.untilFull(POOL, STANDBY, SETTLED_LIMIT_MS);
  // nothing that is about to go may be among the answers: what was promised stays
  expect(await carried()).toEqual(expected);
  expect((await world.pods(POOL)).filter((pod) => !isClaimed(pod)).length).toBe(STANDBY);
  expect(world.processes.reports().length).toBe(STANDBY + ids.length);
  expect(world.processes.badGrants).toEqual([]);
  expect(world.kubelet.failures).toEqual([]);
  const settledMs = performance.now() - startedMs;
  process.stdout.write(
    `${words}: ${answeredBefore.size} answered before, all after ${retriedMs.toFixed(0)} ms of retrying, ` +
      `settled and full after ${settledMs.toFixed(0)} ms\n`,
  );
}

/** As a platform does: the same claim id again, at whichever replica serves, until there is an answer. */
async function claimUntilAnswered(world: StandInWorld, operators: OperatorProcess[], id: string): Promise<ClaimAnswer> {
  const deadline = Date.now() + SETTLED_LIMIT_MS;
  for (let attempt = 0; ; attempt++) {
    const { url = '' } = operators[attempt % operators.length] ?? {};
    const answer = await world.claims.claim(url, world.namespace, POOL, aClaimInput(id));
    if (answer.status === 201) return answer;
    const isTemporary = answer.status === 0 || answer.status === 503 || answer.status === 502 || answer.status === 429;
    if (!isTemporary || Date.now() > deadline)
      throw new Error(`claim ${id} was answered ${answer.status}: ${JSON.stringify(answer.error)}`);
    await delay(50);
  }
}

async function releaseAll(world: StandInWorld, operator: OperatorProcess, ids: string[]): Promise<void> {
  const released = await inParallel(ids, AT_ONCE, (id) => world.claims.release(operator.url, world.namespace, id));
  expect(released.filter(({ status }) => status !== 200)).toEqual([]);
  await until('released instances to be gone', SETTLED_LIMIT_MS, () => world.processes.loadedNow().length === 0);
}

function podsOf(answers: ClaimAnswer[]): Map<string, string> {
  return new Map(answers.flatMap(({ claim }) => (claim?.pod === undefined ? [] : [[claim.claimId, claim.pod.uid]])));
}

function isSame(left: string[], right: string[]): boolean {
  return left.length === right.length && left.every((item, index) => item === right[index]);
}

function difference(found: string[], expected: string[]): string {
  const more = found.filter((item) => !expected.includes(item));
  const less = expected.filter((item) => !found.includes(item));
  return `too many [${more.join(', ')}], missing [${less.join(', ')}]`;
}
