import { cpSync, existsSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { nodejsFixtures } from '../contract/runtime-agent/fixtures.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';
import { runtimeContract } from '../contract/runtime-agent/suite.ts';

const folder = fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url));
const runtime = (await describeRuntime(folder)) as PresentRuntime;

runtimeContract(runtime);

describe('the nodejs runtime, besides the contract', () => {
  const started: StartedRuntime[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.dispose()));
  });
  async function start(of: PresentRuntime = runtime): Promise<StartedRuntime> {
    const each = await StartedRuntime.start(of);
    started.push(each);
    return each;
  }
  async function loaded(
    files: Record<string, string>,
    handler: string,
    changes: Record<string, unknown> = {},
  ): Promise<StartedRuntime> {
    const each = await start();
    const answer = await each.load({ handler, files }, changes);
    expect(answer).toMatchObject({ statusCode: 200 });
    return each;
  }
  const untilWatched = (each: StartedRuntime) => each.until('the watchdog', () => existsSync(each.watchdogPath), 5_000);

  it.each([
    ['CommonJS', { 'index.js': 'exports.handler = () => "ok";' }, 'index.handler'],
    [
      '.cjs in a package of ES modules',
      { 'index.cjs': 'exports.handler = () => "ok";', 'package.json': '{"type":"module"}' },
      'index.handler',
    ],
    [
      'an ES module by its package',
      { 'index.js': 'export const handler = () => "ok";', 'package.json': '{"type":"module"}' },
      'index.handler',
    ],
    ['an ES module by its ending', { 'src/index.mjs': 'export const handler = () => "ok";' }, 'src/index.handler'],
    [
      'an ES module by its syntax',
      { 'index.js': 'import "node:fs"; export const handler = () => "ok";' },
      'index.handler',
    ],
    [
      'top-level await',
      { 'index.mjs': 'const ok = await Promise.resolve("ok"); export const handler = () => ok;' },
      'index.handler',
    ],
    [
      'top-level await, by its syntax',
      { 'index.js': 'const ok = await Promise.resolve("ok"); export const handler = () => ok;' },
      'index.handler',
    ],
    ['a member of the default export', { 'index.mjs': 'export default { handler: () => "ok" };' }, 'index.handler'],
    ['the default export', { 'index.mjs': 'export default () => "ok";' }, 'index.default'],
    ['a nested export', { 'index.js': 'exports.api = { orders: { get: () => "ok" } };' }, 'index.api.orders.get'],
    ['a module with a dot in its name', { 'index.api.js': 'exports.get = () => "ok";' }, 'index.api.get'],
    [
      'a thenable that is not a promise',
      { 'index.js': 'exports.handler = () => ({ then: (done) => done("ok") });' },
      'index.handler',
    ],
  ])('loads %s', async (_, files, handler) => {
    const each = await loaded(files, handler);
    expect((await each.invoke({})).bytes.toString()).toBe('ok');
  });

  it.each([
    ['an async generator', 'async function* () { yield "a"; yield Buffer.from("b"); }'],
    ['a generator', 'function* () { yield "a"; yield "b"; }'],
    ['a Node stream', '() => require("node:stream").Readable.from(["a", "b"])'],
    ['a web stream', '() => new Response("ab").body'],
    [
      'a body with headers',
      '() => ({ statusCode: 200, headers: { "X-Own": "yes" }, body: (function* () { yield "ab"; })() })',
    ],
  ])('streams %s', async (_, handler) => {
    const each = await loaded({ 'index.js': `exports.handler = ${handler};` }, 'index.handler');
    const answer = await each.serve({ path: '/' });
    expect(answer).toMatchObject({ statusCode: 200, headers: { 'transfer-encoding': 'chunked' } });
    expect(answer.bytes.toString()).toBe('ab');
    expect(await each.status()).toMatchObject({ state: 'ready', requests: [{ state: 'succeeded' }] });
  });

  it('stops a stream whose client went away, and attributes to its request what it writes until then', async () => {
    const code = `exports.handler = async function* () {
      try {
        for (let piece = 0; ; piece++) { console.log('piece', piece); yield 'x'; await new Promise((go) => setTimeout(go, 20)); }
      } finally { console.log('cleaned up'); }
    };`;
    const each = await loaded({ 'index.js': code }, 'index.handler');
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const request = http.request(
      { host: '127.0.0.1', port: each.port, headers: { 'x-request-id': 'left' } },
      (response) => {
        response.once('data', () => begin()).once('error', () => {});
      },
    );
    request.on('error', () => {}).end();
    await begun;
    request.destroy();
    await each.until('the request to end', async () => (await each.status()).inFlight === 0);
    expect(await each.status()).toMatchObject({ state: 'ready', requests: [{ id: 'left', state: 'cancelled' }] });
    const logs = await each.send({ method: 'GET', path: '/v1/logs?requestId=left' });
    const texts = (logs.json as { lines: { text: string }[] }).lines.map(({ text }) => text);
    expect([texts[0], texts.at(-1)]).toEqual(['piece 0', 'cleaned up']);
  });

  it('discards a process whose stream does not end in time, and cuts the stream', async () => {
    const code = 'exports.handler = async function* () { yield "a"; await new Promise(() => {}); };';
    const each = await loaded({ 'index.js': code }, 'index.handler', {
      limits: { requestTimeoutMs: 300, initTimeoutMs: 5_000 },
    });
    await expect(each.serve({ path: '/', headers: { 'x-request-id': 'stuck' } })).rejects.toThrow();
    expect((await each.exited()).exitCode).toBe(1);
    expect(each.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'stuck' });
  });

  it('answers the requests beside one that costs the process, when several run at once', async () => {
    const code =
      'exports.handler = (event) => event.exits ? setTimeout(() => process.exit(3), 50) && new Promise(() => {}) : new Promise(() => {});';
    const limits = { requestTimeoutMs: 10_000, initTimeoutMs: 5_000, concurrency: 3 };
    const each = await loaded({ 'index.js': code }, 'index.handler', { limits });
    const beside = each.invoke({}, { 'x-request-id': 'beside' });
    const leaving = each.invoke({ exits: true }, { 'x-request-id': 'leaving' });
    for (const answer of await Promise.all([beside, leaving])) {
      expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    }
    await each.exited();
    expect(each.termination()).toMatchObject({ reason: 'Exited', requestId: 'leaving' });
  });

  it('runs an app that is an ES module with top-level await', async () => {
    const app = `import { createServer } from 'node:http';
      const server = createServer((request, response) => response.end('ok'));
      await new Promise((resolve) => server.listen(process.env.PORT, resolve));`;
    const each = await loaded({ 'app.mjs': app }, 'app.mjs', { kind: 'http' });
    expect((await each.serve({ path: '/' })).bytes.toString()).toBe('ok');
    const status = await each.status();
    expect(status).toMatchObject({ executions: 1, inFlight: 0 });
  });

  it('lets an app finish its own shutdown on SIGTERM', async () => {
    const app = `const server = require('node:http').createServer((request, response) => response.end()).listen(process.env.PORT);
      process.on('SIGTERM', () => setTimeout(() => { console.log('closed the books'); server.close(); }, 200));`;
    const each = await loaded({ 'app.js': app }, 'app.js', { kind: 'http' });
    each.child.kill('SIGTERM');
    expect(await each.exited()).toEqual({ exitCode: 0, signal: null });
    expect(each.output).toContain('closed the books');
  });

  it('answers the running request when an error reaches nobody, then ends', async () => {
    const code =
      'exports.handler = () => { setTimeout(() => { throw new Error("stray"); }); return new Promise(() => {}); };';
    const each = await loaded({ 'index.js': code }, 'index.handler');
    const answer = await each.invoke({}, { 'x-request-id': 'unlucky' });
    expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    expect((answer.json as { message: string }).message).toContain('stray');
    expect((await each.exited()).exitCode).toBe(1);
    expect(each.termination()).toMatchObject({ reason: 'Crashed', requestId: 'unlucky' });
    expect(each.output).toContain('stray');
  });

  it('leaves errors alone that the function itself looks after', async () => {
    const code = `process.on('uncaughtException', (error) => { globalThis.seen = error.message; });
      exports.handler = async () => {
        setTimeout(() => { throw new Error('looked after'); });
        await new Promise((resolve) => setTimeout(resolve, 50));
        return { seen: globalThis.seen };
      };`;
    const each = await loaded({ 'index.js': code }, 'index.handler');
    expect((await each.invoke({})).json).toEqual({ seen: 'looked after' });
  });

  it('answers a rejection while the module is imported with 422', async () => {
    const each = await start();
    const files = {
      'index.mjs':
        'Promise.reject(new Error("no queue")); await new Promise((done) => setTimeout(done, 200)); export const handler = 1;',
    };
    const answer = await each.load({ handler: 'index.handler', files });
    expect(answer).toMatchObject({ statusCode: 422, json: { code: 'UserCodeError', phase: 'import' } });
    expect((answer.json as { message: string }).message).toContain('no queue');
  });

  it('ends code that blocks after an await, once its watchdog is up', async () => {
    const code = 'exports.handler = async () => { await null; await new Promise(setImmediate); for (;;); };';
    const each = await loaded({ 'index.js': code }, 'index.handler', {
      limits: { requestTimeoutMs: 300, initTimeoutMs: 5_000 },
    });
    await untilWatched(each);
    const startedAt = performance.now();
    await each.invoke({}, { 'x-request-id': 'stuck' }).catch(() => undefined);
    expect((await each.exited()).signal).toBe('SIGKILL');
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    expect(each.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'stuck' });
  });

  it('dies with its lifeline also while user code blocks it', async () => {
    const each = await loaded({ 'index.js': 'exports.handler = () => { for (;;); };' }, 'index.handler');
    await untilWatched(each);
    each.invoke({}).catch(() => {});
    await each.until('it to block', async () => {
      const health = await each.sendToWatchdog({ method: 'GET', path: '/v1/health' });
      return (health.json as { state: string }).state === 'busy';
    });
    each.child.stdin?.end();
    await each.exited();
  });

  it('needs nothing but its own folder', async () => {
    const elsewhere = path.join(os.tmpdir(), `warmpool-bootstrap-${process.pid}`);
    try {
      cpSync(folder, elsewhere, { recursive: true });
      const each = await start((await describeRuntime(elsewhere)) as PresentRuntime);
      expect((await each.load(nodejsFixtures.acts)).statusCode).toBe(200);
    } finally {
      rmSync(elsewhere, { recursive: true, force: true });
    }
  });
});
