import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ClaimClient } from '@warmpool/local/claim-client.ts';
import type { Pod } from '@warmpool/operator/core/resources.ts';
import { nodejsFixtures } from '../contract/runtime-agent/fixtures.ts';
import { LocalProgram, poolFolder } from '../support/local-program.ts';
import { aNodePool, aPythonPool, isPythonHere, LocalWorld } from '../support/local-world.ts';
import { isAlive } from '../support/run-processes.ts';

const hasPython = await isPythonHere();
const { acts } = nodejsFixtures;

describe('local mode heals', () => {
  let world: LocalWorld;
  beforeAll(async () => {
    world = await LocalWorld.start([aNodePool(3)]);
  });
  afterEach(() => world.releaseAll());
  afterAll(() => world.stop());

  const anInstance = () =>
    world.client.claim('default', 'nodejs', world.claimFor(acts.files, { handler: acts.handler }));
  const uids = (): string[] => world.pods().map(({ metadata }) => metadata.uid);

  it('a standby pod that got kill -9 is shown as failed and replaced', async () => {
    const [victim] = world.pods();
    const uid = victim?.metadata.uid ?? '';
    const seen: Pod['status'][] = [];
    const stop = world.local.cluster.onChange(({ object }) => {
      if (object.metadata.uid === uid) seen.push((object as unknown as Pod).status);
    });
    process.kill(world.pidOf(uid), 'SIGKILL');
    await vi.waitFor(() => expect(uids()).not.toContain(uid), 10_000);
    stop();
    expect(seen).toContainEqual(expect.objectContaining({ phase: 'Failed' }));
    expect(JSON.stringify(seen)).toMatch(/SIGKILL|137/);
    await world.untilFull();
  });

  it('a claimed pod that got kill -9 fails its claim with words, and is not given to anybody again', async () => {
    const { claimId, pod } = await anInstance();
    const uid = pod?.uid ?? '';
    process.kill(world.pidOf(uid), 'SIGKILL');
    await vi.waitFor(async () => {
      expect(await world.claimState(claimId)).toMatchObject({
        state: 'failed',
        error: {
          code: 'InstanceLost',
          message: expect.stringMatching(`^the instance of claim ${claimId} was lost: .`) as string,
        },
      });
    }, 10_000);
    await vi.waitFor(() => expect(uids()).not.toContain(uid), 10_000);
    expect(world.processes().filter(({ command }) => command.includes(uid))).toEqual([]);
  });

  it('a host-agent that got kill -9 is started again; instances answer all along and new claims work', async () => {
    const { claimId, address, pod } = await anInstance();
    const { pid: before = 0 } = world.local.hostAgent;
    process.kill(before, 'SIGKILL');
    expect(await world.invoke(address?.url, { act: 'echo' }, 'without-host-agent')).toMatchObject({ status: 200 });
    await vi.waitFor(() => {
      const { pid = 0 } = world.local.hostAgent;
      expect(pid).not.toBe(before);
      expect(isAlive(pid)).toBe(true);
    }, 10_000);
    const next = await anInstance();
    expect(next.pod?.uid).not.toBe(pod?.uid);
    expect(await world.invoke(next.address?.url, { act: 'echo' }, 'after')).toMatchObject({ status: 200 });
    expect(await world.invoke(address?.url, { act: 'echo' }, 'still-there')).toMatchObject({ status: 200 });
    expect(await world.claimState(claimId)).toMatchObject({ state: 'ready' });
  });

  it('a standby pod that is stopped holds up the claim that meets it, at most, and no other', async () => {
    const stopped = world.pods()[0]?.metadata.uid ?? '';
    const pid = world.pidOf(stopped);
    process.kill(-pid, 'SIGSTOP');
    try {
      const code = world.storedFiles(acts.files);
      const limits = { initTimeoutMs: 2_000 };
      const startedMs = performance.now();
      const took = await Promise.all(
        Array.from({ length: 3 }, async () => {
          const answer = await world.tryClaim('nodejs', world.claimOf(code, { handler: acts.handler, limits }));
          return { status: answer.status, ms: performance.now() - startedMs };
        }),
      );
      const quick = took.filter(({ status, ms }) => status === 201 && ms < 1_500);
      expect(quick.length, JSON.stringify(took)).toBeGreaterThanOrEqual(2);
      expect(Math.max(...took.map(({ ms }) => ms))).toBeLessThan(10_000);
    } finally {
      process.kill(-pid, 'SIGCONT');
    }
  });
});

describe('npm start ends', () => {
  const pools = poolFolder([aNodePool(3), ...(hasPython ? [aPythonPool(2)] : [])]);
  let program: LocalProgram;
  afterEach(() => program.close());
  afterAll(() => pools.remove());

  /** Serving, with an instance in a busy loop, one that idles, and a client that watches: what is hardest to end. */
  async function busyProgram(): Promise<void> {
    program = LocalProgram.startWithOwnCache(['--no-demo', '--port', '0', '--pools', pools.folder]);
    const url = await program.url();
    const client = new ClaimClient(url);
    const code = program.store(acts.files);
    const claim = (claimId: string) =>
      client.claim('default', 'nodejs', {
        claimId,
        function: { name: 'acts', version: '1', tenant: 'acme' },
        code,
        handler: acts.handler,
      });
    const busy = await claim('busy');
    await claim('idle');
    await client.close();
    quietly(`${busy.address?.url}`, JSON.stringify({ act: 'spin' }));
    quietly(`${url}/v1/pools/default/nodejs/claims?watch=true`);
  }

  /** A request whose answer and end nobody looks at. */
  function quietly(url: string, body?: string): void {
    const headers = { 'content-type': 'application/json' };
    const call = httpRequest(url, { method: body === undefined ? 'GET' : 'POST', headers }, (response) => {
      response.on('error', () => undefined).resume();
    });
    call.on('error', () => undefined).end(body);
  }

  it('within 3 s without a trace when it gets kill -9', async () => {
    await busyProgram();
    expect(program.processes().length).toBeGreaterThan(4);
    expect(program.runDir()).toBeDefined();
    program.signal('SIGKILL');
    await vi.waitFor(() => expect(program.leftovers()).toEqual([]), { timeout: 3_000, interval: 20 });
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('within 10 s with status 0 and without a trace on %s', async (signal) => {
    await busyProgram();
    program.signal(signal);
    expect(await program.exit(10_000)).toBe(0);
    expect(program.leftovers()).toEqual([]);
    expect(program.stderr).toBe('');
  });
});
