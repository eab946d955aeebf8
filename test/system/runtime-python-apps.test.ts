import { afterEach, describe, expect, it } from 'vitest';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { appObject } from './fixtures-python/fixtures.ts';
import { pythonRuntime, startPython, terminationOf, until } from './fixtures-python/python-process.ts';
import type { Answer, PythonProcess } from './fixtures-python/python-process.ts';

const runtime = await pythonRuntime();
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`apps in Python are NOT tested on this machine: ${missing}`);

describe.skipIf(missing !== undefined)('app objects in Python', () => {
  const started: PythonProcess[] = [];
  const load = async (handler: string, fields: Record<string, unknown> = {}): Promise<[PythonProcess, Answer]> => {
    const process = await startPython(runtime as PresentRuntime);
    started.push(process);
    return [process, await process.load(appObject(handler), { kind: 'http', ...fields })];
  };
  const loaded = async (handler: string, fields?: Record<string, unknown>): Promise<PythonProcess> => {
    const [process, answer] = await load(handler, fields);
    expect(answer).toMatchObject({ status: 200, body: { state: 'ready' } });
    return process;
  };
  const withTimeout = { limits: { requestTimeoutMs: 300, initTimeoutMs: 10_000 } };

  afterEach(async () => {
    await Promise.all(started.splice(0).map((process) => process.stop()));
  });

  describe('of WSGI', () => {
    it('get the request as it came and answer with status, repeated headers and a body in parts', async () => {
      const process = await loaded('wsgi_app:app');
      const headers = { 'content-type': 'text/plain', 'x-real': 'yes', x_real: 'forged', 'x-request-id': 'r1' };
      const answer = await process.onPort('PUT', '/caf%C3%A9/a%2Fb?x=1&x=2', 'naïve', headers);
      expect(answer).toMatchObject({ status: 201, text: 'PUT /café/a/b?x=1&x=2 yes text/plain naïve' });
      expect(answer.headers).toMatchObject({
        'set-cookie': ['a=1', 'b=2'],
        'content-type': 'text/plain',
        'x-request-id': 'r1',
        'x-start-type': 'standby',
      });
      expect(await process.linesOf('r1')).toEqual(['served /cafÃ©/a/b', 'closed']);
    });

    it('may write before they return, and answer a HEAD without a body', async () => {
      const process = await loaded('wsgi_app:app');
      const { text } = await process.onPort('POST', '/written', '', { 'content-type': 'a/b' });
      expect(text).toBe('written, POST /written? None a/b ');
      const head = await process.onPort('HEAD', '/', '', { 'content-type': 'a/b' });
      expect(head).toMatchObject({ status: 201, text: '' });
    });

    it.each([
      ['/raise', 'RuntimeError: no database today'],
      ['/silent', 'without start_response'],
    ])('that fail (%s) are told so, and go on', async (path, words) => {
      const process = await loaded('wsgi_app:app');
      const answer = await process.onPort('GET', path);
      expect(answer).toMatchObject({ status: 502, body: { code: 'UserError' } });
      expect(answer.body['message']).toContain(words);
      expect((await process.onPort('GET', '/', '', { 'content-type': '' })).status).toBe(201);
    });

    it('are held to the deadline of a request', async () => {
      const process = await loaded('wsgi_app:app', withTimeout);
      expect(await process.onPort('GET', '/sleep')).toMatchObject({ status: 504, body: { code: 'RequestTimeout' } });
      expect(await process.exited).toBe(1);
      expect(await terminationOf(process)).toMatchObject({ reason: 'RequestTimeout' });
    });

    it('are found as attributes of attributes too, and those that are not there are named', async () => {
      expect(
        (await (await loaded('wsgi_app:Shop.application')).onPort('GET', '/', '', { 'content-type': '' })).status,
      ).toBe(201);
      const [, absent] = await load('wsgi_app:application');
      expect(absent).toMatchObject({ status: 422, body: { code: 'HandlerNotFound' } });
      expect(absent.body['message']).toMatch(/the module "wsgi_app" has no "application"; its functions are: .*app/);
      const [, number] = await load('wsgi_app:NUMBER');
      expect(number.body['message']).toContain('"NUMBER" of the module "wsgi_app" is not a WSGI or ASGI app');
      const [, nowhere] = await load('nowhere:app');
      expect(nowhere).toMatchObject({ status: 422, body: { code: 'HandlerNotFound' } });
    });

    it('take their requests on the port only', async () => {
      const process = await loaded('wsgi_app:app');
      const answer = await process.invoke({});
      expect(answer).toMatchObject({ status: 425, body: { code: 'NotLoaded' } });
      expect(answer.body['message']).toContain(String(process.port));
      const { body } = await process.get('/v1/status');
      expect(body).toMatchObject({ state: 'ready', inFlight: 0, requests: [] });
    });
  });

  describe('of ASGI', () => {
    it('run on one loop, with the state of their lifespan, and are shut down with the process', async () => {
      const process = await loaded('asgi_app:app');
      for (const method of ['POST', 'PATCH'])
        expect(await process.onPort(method, '/caf%C3%A9?x=%20', 'naïve')).toMatchObject({
          status: 202,
          body: { method, path: '/café', query: 'x=%20', body: 'naïve', state: { pool: 'connected' }, loops: 1 },
        });
      process.kill('SIGTERM');
      expect(await process.exited).toBe(0);
      expect(process.output()).toContain('disconnected');
    });

    it('may be without a lifespan', async () => {
      const process = await loaded('asgi_app:app', { env: { LIFESPAN: 'none' } });
      expect(await process.onPort('GET', '/')).toMatchObject({ status: 202, body: { state: {} } });
    });

    it('whose startup fails are not loaded', async () => {
      const [process, answer] = await load('asgi_app:app', { env: { LIFESPAN: 'fails' } });
      expect(answer).toMatchObject({ status: 422, body: { code: 'UserCodeError', phase: 'import' } });
      expect(answer.body['message']).toContain('no database today');
      expect(await process.exited).toBe(1);
    });

    it('that end without a whole response are told so', async () => {
      const process = await loaded('asgi_app:app');
      const answer = await process.onPort('GET', '/half');
      expect(answer).toMatchObject({ status: 502, body: { code: 'UserError' } });
      expect(answer.body['message']).toContain('without a complete response');
    });

    it('are stopped by a kill of the request, and go on', async () => {
      const process = await loaded('asgi_app:app');
      const answer = process.onPort('GET', '/wait', '', { 'x-request-id': 'first' });
      await until(() => process.output().includes('served /wait'), 'the request to begin');
      await process.post('/v1/kill', { requestId: 'first' });
      expect(await answer).toMatchObject({ status: 502, body: { code: 'RequestKilled' } });
      expect((await process.onPort('GET', '/')).status).toBe(202);
    });
  });
});
