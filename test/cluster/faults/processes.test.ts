import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { until } from '../kubectl.ts';
import { FaultWorld } from './fault-world.ts';
import { runtimeOf, shimOf } from './node-state.ts';
import { killQuietly } from './programs.ts';

const access = inject('cluster');
const LIMIT_MS = 60_000;
/** Answers, and takes more memory than its pod may have. */
const GLUTTON = `
const kept = [];
const eat = () => { for (;;) kept.push(Buffer.alloc(16 * 1024 * 1024, 1)); };
export const handler = () => { setTimeout(eat, 50); return { claim: process.env.CLAIM }; };
`;

describe.skipIf(access?.own === undefined)('kill -9 of the interpreter alone, beside an agent that lives,', () => {
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-interpreter', { name: 'python', version: '3.11' });
  });
  afterAll(() => world?.stop());

  test('an instance is told lost; a standby pod is replaced', async () => {
    const hurt = await world.claim('interpreter-hurt');
    const [victim] = await world.standbyPods();
    const uid = victim?.metadata.uid ?? '';
    for (const each of [uid, hurt.pod?.uid ?? '']) {
      const [, interpreter] = await runtimeOf(world.nodeFolder, each);
      if (interpreter === undefined) throw new Error(`pod ${each} has no interpreter beside its agent`);
      killQuietly(interpreter.pid);
    }
    await world.untilLost('interpreter-hurt');
    await until('the standby pod to be replaced', LIMIT_MS, async () =>
      (await world.pods('standby')).every(({ metadata }) => metadata.uid !== uid),
    );
    await world.settled();
  });
});

describe.skipIf(access?.own === undefined)('kill -9 in a pod, on a real node,', () => {
  let world: FaultWorld;

  beforeAll(async () => {
    world = await FaultWorld.start(access, 'faults-processes');
  });
  afterAll(() => world?.stop());

  const killRuntime = async (uid: string): Promise<void> => {
    const [first] = await runtimeOf(world.nodeFolder, uid);
    if (first === undefined) throw new Error(`pod ${uid} has no runtime process`);
    killQuietly(first.pid);
  };
  const killShim = async (uid: string): Promise<void> => killQuietly(await shimOf(world.nodeFolder, uid));

  test.each([
    ['runtime-agent', killRuntime],
    ["containerd's shim", killShim],
  ])('of the %s: a standby pod is replaced and no claim gets it; an instance is told lost', async (name, kill) => {
    const id = name.replaceAll(/\W+/g, '-');
    const [hurt, kept] = [await world.claim(`${id}-hurt`), await world.claim(`${id}-kept`)];
    const [victim] = await world.standbyPods();
    const uid = victim?.metadata.uid ?? '';
    await Promise.all([kill(uid), kill(hurt.pod?.uid ?? '')]);
    await world.untilLost(`${id}-hurt`);
    await expect(world.claim(`${id}-hurt`)).rejects.toThrow(/InstanceLost.*use a new claim id/);
    await until('the standby pod to be gone', LIMIT_MS, async () =>
      (await world.pods('standby')).every(({ metadata }) => metadata.uid !== uid),
    );
    expect(await world.claimant.invoke(kept)).toBe(`${id}-kept`);
    await world.settled();
  });

  test('that the kernel does for want of memory is told as that, with what to do', async () => {
    const code = world.codeServer.add('index.mjs', GLUTTON);
    const send = async () => (await world.claimant.send(world.pool, 'glutton', { code })).answer;
    const answer = await send();
    if (answer?.claim === undefined) throw new Error(JSON.stringify(answer));
    expect(await world.claimant.invoke(answer.claim)).toBe('glutton');
    await world.untilLost('glutton');
    expect((await send())?.error?.message).toMatch(/OOMKilled.*raise resources\.limits\.memory/);
    await world.settled();
  });
});
