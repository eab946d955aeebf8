import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { nodejsFixtures, pythonFixtures } from '../contract/runtime-agent/fixtures.ts';
import { LocalProgram, poolFolder } from '../support/local-program.ts';
import { aNodePool, aPythonPool, isPythonHere, LocalWorld } from '../support/local-world.ts';
import { processGroup, readProcFile } from '../support/run-processes.ts';

/** A secret in a claim's env is for that instance alone. Each test looks for a value that is nowhere else on this machine. */

const hasPython = await isPythonHere();
const isRoot = process.getuid?.() === 0;
const PORTION_BYTES = 1024 * 1024;

const aCanary = (): string => `canary-${randomBytes(16).toString('hex')}`;

/** What the module is, and what it does with its env: nothing that the platform could not have avoided seeing. */
const fixtureOf = (pool: string) => (pool === 'python' ? pythonFixtures.acts : nodejsFixtures.acts);

function claimWith(world: LocalWorld, pool: string, canary: string): ClaimRequestInput {
  const { files, handler } = fixtureOf(pool);
  return world.claimFor(files, { handler, env: { API_TOKEN: canary } });
}

/** Whether a process holds the text in memory that it can write to; what it cannot write to is files that others have too. */
function holdsInMemory(pid: number, text: string): boolean {
  const wanted = Buffer.from(text);
  const portion = Buffer.alloc(PORTION_BYTES);
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return writableMaps(pid).some(([start, end]) => {
      // portions overlap, so that a text on their border is found
      for (let at = start; at < end; at += BigInt(PORTION_BYTES - wanted.length)) {
        const sizeBytes = readAt(memory, portion, at, Number(end - at));
        if (portion.subarray(0, sizeBytes).includes(wanted)) return true;
      }
      return false;
    });
  } finally {
    closeSync(memory);
  }
}

function writableMaps(pid: number): [bigint, bigint][] {
  return [...readProcFile(pid, 'maps').matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)].map(([, start, end]) => [
    BigInt(`0x${start}`),
    BigInt(`0x${end}`),
  ]);
}

function readAt(fd: number, into: Buffer, position: bigint, leftBytes: number): number {
  try {
    return readSync(fd, into, 0, Math.min(into.length, leftBytes), position);
  } catch {
    // gone since the map was read
    return 0;
  }
}

function filesWith(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file).includes(text));
}

const everyPid = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

describe.each(['nodejs', ...(hasPython ? ['python'] : [])])('a secret of an instance in pool %s', (pool) => {
  const canary = aCanary();
  const changes: string[] = [];
  const logged: string[] = [];
  let world: LocalWorld;
  let groupId: number;
  let claimId: string;
  let address: string | undefined;

  beforeAll(async () => {
    const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) });
    const pools = [pool === 'python' ? aPythonPool(2) : aNodePool(2)];
    world = await LocalWorld.start(pools, {}, log);
    world.local.cluster.onChange((change) => void changes.push(JSON.stringify(change)));
    const claim = claimWith(world, pool, canary);
    const answer = await world.tryClaim(pool, claim);
    expect(answer.status).toBe(201);
    expect(JSON.stringify(answer.body)).not.toContain(canary);
    claimId = claim.claimId;
    const { pod, address: given } = await world.claimState(claimId);
    address = given?.url;
    groupId = world.pidOf(pod?.uid ?? '');
    // a second claim with the same id and another secret is a conflict, and its words must not tell either
    const conflict = await world.tryClaim(pool, { ...claim, env: { API_TOKEN: `${canary}-other` } });
    expect(conflict).toMatchObject({ status: 409, body: { code: 'ClaimConflict' } });
    expect(JSON.stringify(conflict.body)).not.toContain(canary);
    await world.untilFull({ claimed: 1 });
  });
  afterAll(() => world.stop());

  it('is what the function sees', async () => {
    const reply = await world.invoke(address, { act: 'env' }, 'env');
    expect(reply.body).toMatchObject({ API_TOKEN: canary });
  });

  it('is in no object, in no version of it, and in no event', () => {
    expect(changes.length).toBeGreaterThan(2);
    expect(changes.filter((text) => text.includes(canary))).toEqual([]);
  });

  it('is in no answer of the claim API but the function’s own, and in no metric', async () => {
    const routes = [
      `/v1/claims/default/${claimId}`,
      `/v1/pools/default/${pool}/claims`,
      '/v1/pools',
      `/v1/claims/default/${claimId}/logs`,
      '/metrics',
    ];
    for (const route of routes) expect(JSON.stringify((await world.call('GET', route)).body)).not.toContain(canary);
  });

  it('is in no log line of the operator', () => {
    expect(logged.length).toBeGreaterThan(0);
    expect(logged.filter((line) => line.includes(canary))).toEqual([]);
  });

  it('is in no file of the run: pods, their output, cache, sockets', () => {
    expect(filesWith(world.local.runDir, 'podUid').length).toBeGreaterThan(0);
    expect(filesWith(world.local.runDir, canary)).toEqual([]);
  });

  it('is in no command line, and in no environment that the system shows of another process', () => {
    const others = everyPid().filter((pid) => pid !== groupId);
    expect(others.filter((pid) => readProcFile(pid, 'cmdline').includes(canary))).toEqual([]);
    const instance = new Set(processGroup(groupId));
    const shown = everyPid().filter((pid) => !instance.has(pid) && readProcFile(pid, 'environ').includes(canary));
    expect(shown).toEqual([]);
    expect(readProcFile(groupId, 'cmdline')).not.toContain(canary);
  });

  // operator and host-agent pass the env on, so it was in their memory for that moment: they are not looked at
  it.runIf(isRoot)('is in the memory of its instance, and of no standby process', () => {
    expect(processGroup(groupId).some((pid) => holdsInMemory(pid, canary))).toBe(true);
    const uids = world.pods().map(({ metadata }) => metadata.uid);
    const standby = uids.map((uid) => world.pidOf(uid)).filter((pid) => pid !== groupId);
    expect(standby.length).toBe(2);
    const holders = standby.flatMap(processGroup).filter((pid) => holdsInMemory(pid, canary));
    expect(holders).toEqual([]);
  });

  it('is in no object and no log line after its instance was killed and released either', async () => {
    process.kill(groupId, 'SIGKILL');
    await vi.waitFor(async () => expect(await world.claimState(claimId)).toMatchObject({ state: 'failed' }), 5000);
    await world.releaseAll();
    expect([...changes, ...logged].filter((text) => text.includes(canary))).toEqual([]);
  });
});

describe('a secret in a claim', () => {
  const pools = poolFolder([aNodePool(2)]);
  let program: LocalProgram | undefined;
  afterEach(() => program?.close());
  afterAll(() => pools.remove());

  it('is in no output of the whole program at log level debug, whether the claim works, is wrong, or fails', async () => {
    const canary = aCanary();
    program = LocalProgram.startWithOwnCache([
      ...['--no-demo', '--port', '0', '--pools', pools.folder],
      ...['--log-level', 'debug'],
    ]);
    const url = await program.url();
    const code = program.store({
      'index.js': 'exports.handler = () => 1;\n',
      'throws.js': "throw new Error('no database today');\n",
    });
    const claim = {
      function: { name: 'f', version: '1', tenant: 'acme' },
      code,
      handler: 'index.handler',
      env: { API_TOKEN: canary },
    };
    const post = async (body: object): Promise<number> => {
      const headers = { 'content-type': 'application/json' };
      const route = `${url}/v1/pools/default/nodejs/claims`;
      return (await fetch(route, { method: 'POST', headers, body: JSON.stringify(body) })).status;
    };
    expect(await post({ ...claim, claimId: 'works' })).toBe(201);
    expect(await post({ ...claim, claimId: 'Wrong' })).toBe(400);
    expect(await post({ ...claim, claimId: 'fails', handler: 'throws.handler' })).toBe(422);
    expect(
      await post({ ...claim, claimId: 'gone', code: { ...code, key: 'gone.tar', digest: `sha256:${'0'.repeat(64)}` } }),
    ).toBe(404);
    expect((await fetch(`${url}/v1/claims/default/works`, { method: 'DELETE' })).status).toBe(200);
    program.signal('SIGTERM');
    expect(await program.exit(10_000)).toBe(0);
    const output = program.stdout + program.stderr;
    expect(output).toMatch(/"level":"?(info|debug|20|30)/);
    expect(output).toContain('works');
    expect(output).not.toContain(canary);
  });
});
