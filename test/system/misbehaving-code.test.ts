import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';
import { cgroupLimit } from '../support/cgroup-limit.ts';
import type { CgroupLimit } from '../support/cgroup-limit.ts';

/**
 * Code that does its worst ends in a clear state for its own claim, and a neighbour on the same machine notices nothing. Never-ending
 * imports, exits, and rubbish on stdout are cases of the conformance kit.
 */

const bootstrap = path.join(import.meta.dirname, '../../runtime-agent/bootstrap');
const FILES = { nodejs: 'misbehaving.js', python: 'misbehaving.py', java: 'Misbehaving.java' };
const HANDLERS = { nodejs: 'misbehaving.handler', python: 'misbehaving.handler', java: 'Misbehaving.handler' };
const source = (file: string): string => path.join(import.meta.dirname, 'misbehaving', file);
const MIB = 1024 * 1024;

describe.each(Object.entries(FILES))('%s', async (name, file) => {
  const runtime = await describeRuntime(path.join(bootstrap, name));
  if ('missing' in runtime) {
    console.warn(`misbehaving ${name} code is NOT tested on this machine: ${runtime.missing}`);
    it.skip(`needs ${name}`);
    return;
  }
  const files = name === 'java' ? compiledJava(source(file)) : { [file]: readFileSync(source(file), 'utf8') };
  const handler = HANDLERS[name as keyof typeof HANDLERS];
  const started: StartedRuntime[] = [];
  const limits: CgroupLimit[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
    await Promise.all(limits.splice(0).map((each) => each.remove()));
  });
  async function loaded(changes: Record<string, unknown> = {}): Promise<StartedRuntime> {
    const each = await StartedRuntime.start(runtime as Exclude<typeof runtime, { missing: string }>);
    started.push(each);
    const answer = await each.load({ handler, files: files as Record<string, string> }, changes);
    expect(answer).toMatchObject({ statusCode: 200 });
    return each;
  }
  function limited(each: StartedRuntime, controller: 'pids' | 'memory', limit: number): boolean {
    const group = cgroupLimit(controller, limit);
    if (group === undefined) {
      console.warn(`the ${controller} limit is NOT tested on this machine: cgroups cannot be made here (needs root)`);
      return false;
    }
    limits.push(group);
    for (const pid of processesOf(each.child.pid ?? 0)) group.put(pid);
    return true;
  }
  const expectUntouched = async (neighbour: StartedRuntime): Promise<void> => {
    expect(await neighbour.invoke({ does: 'nothing' })).toMatchObject({ statusCode: 200, json: { did: 'nothing' } });
    expect(neighbour.termination()).toBeUndefined();
  };
  const SHORT = { limits: { requestTimeoutMs: 1_500, initTimeoutMs: 10_000 } };

  it('that forks without end under a limit of processes gets its own error, and can be ended', async (test) => {
    const [bomb, neighbour] = await Promise.all([loaded(), loaded()]);
    if (!limited(bomb, 'pids', 60)) return test.skip();
    const answer = await bomb.invoke({ does: 'forkBomb' }, { 'x-request-id': 'bomb' }).catch(() => undefined);
    await expectUntouched(neighbour);
    if (answer !== undefined) expect(answer.statusCode).toBe(502);
    bomb.send({ path: '/v1/kill', body: { mode: 'force' } }).catch(() => {});
    await bomb.exited();
    expect(bomb.termination()).toMatchObject({ reason: expect.stringMatching(/Killed|Crashed|Exited/) as string });
  });

  it('that takes all memory of its container is ended, and its end says so', async (test) => {
    const [hog, neighbour] = await Promise.all([loaded(), loaded()]);
    if (!limited(hog, 'memory', 192 * MIB)) return test.skip();
    const answer = await hog.invoke({ does: 'hogMemory' }, { 'x-request-id': 'hog' }).catch(() => undefined);
    await expectUntouched(neighbour);
    const { exitCode, signal } = await hog.exited();
    expect(`${exitCode} ${signal}`).not.toBe('0 null');
    if (answer === undefined) return expect(signal).toMatch(/SIGKILL|SIGABRT/);
    expect(answer).toMatchObject({ statusCode: 502, json: { message: expect.stringMatching(/memory/i) as string } });
    expect(hog.termination()).toMatchObject({
      reason: 'Crashed',
      requestId: 'hog',
      message: expect.stringMatching(/memory/) as string,
    });
  });

  // Java has no way to close a descriptor that it did not open
  if (name !== 'java')
    it('that closes every file descriptor of its process is ended', async () => {
      const [closing, neighbour] = await Promise.all([loaded(SHORT), loaded()]);
      const answer = await closing.invoke({ does: 'closeFiles' }).catch(() => undefined);
      if (answer !== undefined) expect([502, 504]).toContain(answer.statusCode);
      await closing.exited();
      await expectUntouched(neighbour);
    });

  it('that stops itself with SIGSTOP is ended by its deadline, or by whoever started it', async () => {
    const [stopped, neighbour] = await Promise.all([loaded(SHORT), loaded()]);
    const answer = stopped.invoke({ does: 'stopItself' }, { 'x-request-id': 'stopped' });
    if (name !== 'python') {
      // agent and interpreter are one process: nothing in it runs any more, so the host's deadline ends it (SIGKILL works)
      answer.catch(() => {});
      await stopped.until('the process to stand still', () => stateOf(stopped.child.pid ?? 0) === 'T');
      stopped.child.kill('SIGKILL');
      expect((await stopped.exited()).signal).toBe('SIGKILL');
    } else {
      expect(await answer).toMatchObject({ statusCode: 504, json: { code: 'RequestTimeout' } });
      expect((await stopped.exited()).exitCode).toBe(1);
      expect(stopped.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'stopped' });
    }
    await expectUntouched(neighbour);
  });

  it('that writes rubbish to every descriptor of its process, the control ones too, harms only itself', async () => {
    const [vandal, neighbour] = await Promise.all([loaded(SHORT), loaded()]);
    // its own connections are among them, so its caller may get rubbish too
    const answer = await vandal.invoke({ does: 'scribble' }).catch(() => undefined);
    if (answer !== undefined) expect([200, 502, 504]).toContain(answer.statusCode);
    // nothing of it comes with a later answer on a new connection: in order, or gone
    const after = await vandal.invoke({ does: 'nothing' }).catch(() => undefined);
    if (after?.statusCode === 200) expect(after.json).toEqual({ did: 'nothing' });
    else await vandal.exited();
    await expectUntouched(neighbour);
  });

  it('that ends the process with status 0 while it answers gets an error, and the end is no success', async () => {
    const [quitter, neighbour] = await Promise.all([loaded(), loaded()]);
    const answer = await quitter.invoke({ does: 'exits' }, { 'x-request-id': 'quits' });
    expect(answer).toMatchObject({ statusCode: 502, json: { message: expect.stringMatching(/exit/i) as string } });
    const { exitCode } = await quitter.exited();
    expect(exitCode).not.toBe(0);
    expect(quitter.termination()).toMatchObject({ reason: 'Exited', requestId: 'quits' });
    await expectUntouched(neighbour);
  });

  const losesItsInterpreter = async (): Promise<void> => {
    const [vandal, neighbour] = await Promise.all([loaded(SHORT), loaded()]);
    const answer = await vandal.invoke({ does: 'replaceGlobals' }, { 'x-request-id': 'vandal' });
    // the agent is another process: it answers, whatever is left of the one that runs user code
    expect([200, 502]).toContain(answer.statusCode);
    await vandal.invoke({ does: 'nothing' }).catch(() => {});
    expect((await vandal.exited()).exitCode).toBe(1);
    expect(vandal.termination()).toMatchObject({ reason: expect.stringMatching(/Exited|Crashed/) as string });
    await expectUntouched(neighbour);
  };

  const staysInOrder = async (): Promise<void> => {
    const [vandal, neighbour] = await Promise.all([loaded(SHORT), loaded()]);
    await vandal.invoke({ does: 'replaceGlobals' });
    expect(await vandal.send({ method: 'GET', path: '/v1/health' })).toMatchObject({ statusCode: 200 });
    expect(await vandal.invoke({ does: 'nothing' }, { 'x-request-id': 'after' })).toMatchObject({
      statusCode: 200,
      headers: { 'x-request-id': 'after' },
    });
    expect(await vandal.send({ method: 'GET', path: '/v1/status?requestId=after' })).toMatchObject({
      json: { state: 'ready', requests: [{ id: 'after', state: 'succeeded' }] },
    });
    expect(await vandal.send({ method: 'GET', path: '/v1/logs' })).toMatchObject({ statusCode: 200 });
    expect(await vandal.send({ path: '/v1/kill', body: {} })).toMatchObject({ statusCode: 202 });
    expect(await vandal.exited()).toEqual({ exitCode: 0, signal: null });
    await expectUntouched(neighbour);
  };

  if (name === 'python')
    it('that replaces what the bootstrap uses loses its interpreter, and is told so', losesItsInterpreter);
  else it('that replaces what the bootstrap uses can still be called, asked and killed', staysInOrder);
});

/** The process and all that it has started, by the kernel's own list. */
function processesOf(pid: number): number[] {
  const children = readIfThere(`/proc/${pid}/task/${pid}/children`)
    .split(' ')
    .flatMap((each) => (each.trim() === '' ? [] : [Number(each)]));
  return [pid, ...children.flatMap(processesOf)];
}

function stateOf(pid: number): string {
  return /\) (\w)/.exec(readIfThere(`/proc/${pid}/stat`))?.[1] ?? 'gone';
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function compiledJava(file: string): Record<string, Buffer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-misbehaving-'));
  try {
    execFileSync('javac', ['-J-XX:TieredStopAtLevel=1', '-nowarn', '-d', folder, file]);
    return Object.fromEntries(readdirSync(folder).map((each) => [each, readFileSync(path.join(folder, each))]));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
