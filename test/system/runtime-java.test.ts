import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { Fixture } from '../contract/runtime-agent/fixtures.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';
import type { StartOptions } from '../contract/runtime-agent/started-runtime.ts';
import { runtimeContract } from '../contract/runtime-agent/suite.ts';
import { classesOf, compileFixtures, jarOf } from './fixtures-java/fixtures.ts';

const FOLDER = fileURLToPath(new URL('../../runtime-agent/bootstrap/java', import.meta.url));
const runtime = await describeRuntime(FOLDER);
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`the Java runtime is NOT tested on this machine: ${missing}`);

const compiled = missing === undefined ? compileFixtures() : new Map<string, Buffer>();
if (missing === undefined) {
  // once, so that no case has to wait for it
  execFileSync('/bin/sh', [`${FOLDER}/launch.sh`, 'prepare'], { stdio: 'inherit' });
  runtimeContract(runtime as PresentRuntime);
}

describe.skipIf(missing !== undefined)('functions in Java', () => {
  const started: StartedRuntime[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
  });
  const start = async (options?: StartOptions): Promise<StartedRuntime> => {
    const each = await StartedRuntime.start(runtime as PresentRuntime, options);
    started.push(each);
    return each;
  };
  /** The suite's functions are text elsewhere; what writes them takes bytes as well. */
  const code = (handler: string, files: Record<string, string | Buffer>): Fixture => ({
    handler,
    files: files as Record<string, string>,
  });
  const ways = classesOf(compiled, 'Ways', 'Whole', 'Both', 'MainReturns', 'HogsAtOnce');
  const loaded = async (
    handler: string,
    changes: Record<string, unknown> = {},
    options?: StartOptions,
  ): Promise<StartedRuntime> => {
    const process = await start(options);
    const answer = await process.load(code(handler, { ...ways, 'notes/hello.txt': 'hello' }), changes);
    expect(answer.json).toMatchObject({ state: 'ready' });
    return process;
  };

  /** So that the agent itself needs memory, again and again. */
  const askUntil = async (answered: Promise<unknown>, ask: () => Promise<unknown>): Promise<void> => {
    const over = answered.then(
      () => true,
      () => true,
    );
    while (!(await Promise.race([over, sleep(20, false)]))) void ask().catch(() => {});
  };

  describe('handlers', () => {
    it.each([
      ['Ways.nothing', 'no parameters'],
      ['Ways.raw', 7],
      ['Ways.text', { N: 3 }],
      ['Ways.instance', [3, 'claim-1']],
      ['Ways.FIELD', { form: 'field' }],
      ['Ways.later', { later: true }],
      ['Ways.record', { x: 1, y: 'ž', more: [{ x: 2, y: null, more: null }] }],
      ['Whole', 'whole 3'],
      ['Both', '7 r1'],
    ])('may be %s', async (handler, expected) => {
      const process = await loaded(handler);
      const answer = await process.invoke({ n: 3 }, { 'x-request-id': 'r1' });
      expect(answer.json ?? answer.bytes.toString()).toEqual(expected);
    });

    it('that take a Map answer an event of another shape in words', async () => {
      const process = await loaded('Ways.leaveThreads');
      const answer = await process.invoke('text', { 'content-type': 'text/plain' });
      expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
      expect(answer.bytes.toString()).toContain('takes a java.util.Map, but the event is text');
    });

    it.each([
      ['Ways.notJson', 'java.lang.Object is none of'],
      ['Ways.badHeader', 'x-a holds a character'],
    ])('whose result cannot be sent (%s) are told why', async (handler, words) => {
      const process = await loaded(handler);
      const answer = await process.invoke({});
      expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
      expect(answer.bytes.toString()).toContain(words);
      expect(answer.headers['x-b']).toBeUndefined();
    });

    it('are found in jars, beside the code or in lib/', async () => {
      const process = await start();
      const files = {
        'app.jar': jarOf(classesOf(compiled, 'Whole')),
        'lib/ways.jar': jarOf(classesOf(compiled, 'Ways')),
      };
      expect((await process.load(code('Ways.record', files))).statusCode).toBe(200);
      expect((await process.invoke({})).json).toMatchObject({ x: 1 });
    });

    it('of an app may be the jar, whose manifest names the class', async () => {
      const process = await start();
      const files = { 'app.jar': jarOf(classesOf(compiled, 'HttpApp'), 'HttpApp') };
      expect((await process.load(code('app.jar', files), { kind: 'http' })).statusCode).toBe(200);
      expect((await process.serve({ path: '/x', body: 'y' })).json).toEqual({ method: 'POST', url: '/x', body: 'y' });
    });
  });

  describe('that are small', () => {
    it.each(['Small.answer', 'Small.answerInContext', 'Small', 'Small.FIELD'])(
      'find a process that has no other class to load and nothing to collect first (%s)',
      async (handler) => {
        const log = path.join(mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-log-')), 'jvm.log');
        const process = await start({
          env: { WARMPOOL_JAVA_OPTIONS: `-Xlog:gc,class+load:file=${log}:tags` },
        });
        await process.status();
        const standbyBytes = statSync(log).size;
        await process.load(code(handler, { 'Small.class': compiled.get('Small.class') ?? '' }));
        expect(await process.serve({ path: '/', body: { n: 1 } })).toMatchObject({ json: { n: 1 } });
        const events = readFileSync(log).subarray(standbyBytes).toString().split('\n').filter(Boolean);
        rmSync(path.dirname(log), { recursive: true });
        expect(events).toEqual([expect.stringMatching(/^\[class,load\s*\] Small source: file:.*\/code\//)]);
      },
    );
  });

  describe('identity', () => {
    it('is the claim; child processes see it, or at least nothing of the container', async () => {
      const env = { CONTAINER_SECRET: 'not for functions', LANG: 'C.UTF-8' };
      const process = await loaded('Ways.child', { env: { GREETING: 'hello' } }, { env });
      const seen = (await process.invoke({})).json as { untouched: string; touched: string; first: string };
      expect(seen.touched).toContain('GREETING=hello');
      expect(seen.touched).toContain(`PORT=${process.port}`);
      for (const text of Object.values(seen)) expect(text).not.toMatch(/WARMPOOL|CONTAINER_SECRET/);
    });

    it('has relative paths lead to the code', async () => {
      const process = await loaded('Ways.relative');
      const seen = (await process.invoke({})).json as Record<string, string>;
      expect(seen).toMatchObject({ nio: 'hello', io: 'hello', absolute: `${process.folder}/code/notes` });
      expect(seen['listed']).toContain('Ways.class');
    });

    it('has relative paths lead to the code in a pod, whose volume follows no links', async () => {
      const volume = mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-volume-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'nosymfollow,nr_inodes=64', 'volume', volume]);
      const ownTmp = mkdtempSync(path.join(os.tmpdir(), 'warmpool-java-tmp-'));
      vi.stubEnv('TMPDIR', volume);
      try {
        const process = await loaded('Ways.relative', {}, { env: { TMPDIR: ownTmp } });
        expect(process.folder).toContain(volume);
        expect((await process.invoke({})).json).toMatchObject({ nio: 'hello', io: 'hello' });
      } finally {
        vi.unstubAllEnvs();
        // a process that failed may still be in it
        execFileSync('umount', ['--lazy', volume]);
        for (const folder of [volume, ownTmp]) rmSync(folder, { recursive: true });
      }
    });

    it('has a locale', async () => {
      const process = await loaded('Ways.locale', { env: { LANG: 'cs_CZ.UTF-8' } });
      expect((await process.invoke({})).bytes.toString()).toBe('cs_CZ');
    });

    it('is the same for a function whether the process was rehearsed or not', async () => {
      const seen = [];
      for (const rehearse of ['1', '0']) {
        const process = await loaded(
          'Ways.inventory',
          {},
          { env: { WARMPOOL_REHEARSE: rehearse, TZ: 'America/Lima' } },
        );
        const text = JSON.stringify((await process.invoke({})).json);
        seen.push(JSON.parse(text.replaceAll(process.folder, '/pod').replaceAll(String(process.port), 'PORT')));
      }
      expect(seen[0]).toEqual(seen[1]);
      expect(JSON.stringify(seen[0])).not.toMatch(/rehears|WARMPOOL_/i);
    });
  });

  describe('code that misbehaves', () => {
    const askStatus = (process: StartedRuntime) => process.status();
    const askForMuch = (process: StartedRuntime) => process.invoke('x'.repeat(500_000));
    it.each([
      ['Ways.hog', askStatus],
      ['Ways.hogForEver', askStatus],
      ['Ways.hogInAnotherThread', askForMuch],
    ])('by filling the heap (%s) is told its limit, and the process ends', async (handler, ask) => {
      const process = await loaded(handler, {}, { env: { WARMPOOL_JAVA_OPTIONS: '-Xmx48m' } });
      const answered = process.invoke({}, { 'x-request-id': 'greedy' });
      const [answer] = await Promise.all([answered, askUntil(answered, () => ask(process))]);
      expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
      expect(answer.bytes.toString()).toMatch(/OutOfMemoryError|out of memory/);
      expect((await process.exited()).exitCode).toBe(1);
      expect(process.termination()).toMatchObject({ reason: 'Crashed', requestId: 'greedy' });
      expect(process.termination()?.message).toContain('out of memory');
    });

    it('by filling the heap while it is imported fails the load', async () => {
      const process = await start({ env: { WARMPOOL_JAVA_OPTIONS: '-Xmx48m' } });
      const answer = await process.load(code('HogsAtOnce.handle', ways));
      expect(answer).toMatchObject({ statusCode: 422, json: { code: 'UserCodeError' } });
      expect(answer.bytes.toString()).toMatch(/OutOfMemoryError|out of memory/);
      expect((await process.exited()).exitCode).toBe(1);
    });

    it.each([
      ['Ways.closeEverything', 'closed'],
      ['Ways.interruptEveryone', 'interrupted'],
      ['Ways.rubbish', 'written'],
      ['Ways.leaveThreads', 'left'],
    ])('by %s does not silence the agent', async (handler, expected) => {
      const process = await loaded(handler);
      for (let round = 0; round < 2; round++) {
        expect((await process.invoke({})).bytes.toString()).toBe(expected);
        expect((await process.status()).state).toBe('ready');
      }
      await process.send({ path: '/v1/kill', body: {} });
      expect((await process.exited()).exitCode).toBe(0);
    });

    it('by ending the process in another thread is answered', async () => {
      const process = await loaded('Ways.exitInThread');
      const answer = await process.invoke({});
      expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
      expect(answer.bytes.toString()).toContain('System.exit(9)');
      expect((await process.exited()).exitCode).toBe(1);
      expect(process.termination()).toMatchObject({ reason: 'Exited' });
    });

    it('by halting the JVM ends at once with its own status, and nothing can be written', async () => {
      const process = await loaded('Ways.halt');
      await expect(process.invoke({})).rejects.toThrow();
      expect((await process.exited()).exitCode).toBe(7);
    });

    it('by being an app whose last thread ends is told so', async () => {
      const process = await start();
      const answer = await process.load(code('MainReturns', ways), { kind: 'http' });
      expect(answer).toMatchObject({ statusCode: 422, json: { code: 'UserCodeError' } });
      expect(answer.bytes.toString()).toContain('last thread');
      expect((await process.exited()).exitCode).toBe(1);
    });
  });

  it('run their shutdown hooks when the process is drained', async () => {
    const process = await loaded('Ways.hook');
    await process.invoke({});
    process.child.kill('SIGTERM');
    expect(await process.exited()).toEqual({ exitCode: 0, signal: null });
    await process.until('the hook', () => process.output.includes('the hook ran'));
  });

  it('that are late while the process drains end it as late ones do', async () => {
    const limits = { requestTimeoutMs: 600, initTimeoutMs: 60_000 };
    const process = await loaded('Ways.sleeps', { limits });
    const late = process.invoke({}).catch(() => undefined);
    await process.until('the request', async () => (await process.status()).inFlight === 1);
    process.child.kill('SIGTERM');
    expect((await late)?.statusCode).toBe(504);
    expect((await process.exited()).exitCode).toBe(1);
    expect(process.termination()).toMatchObject({ reason: 'RequestTimeout' });
  });

  it('run their shutdown hooks when they exit by themselves', async () => {
    const process = await loaded('Ways.hookAndExit');
    const answer = await process.invoke({});
    expect(answer.bytes.toString()).toContain('System.exit(0)');
    expect((await process.exited()).exitCode).toBe(1);
    await process.until('the hook', () => process.output.includes('the hook ran'));
  });
});
