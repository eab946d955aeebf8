import { expect, it } from 'vitest';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import type { Bench } from './suite.ts';

const APP = { kind: 'http', env: { GREETING: 'hello' } };
const SHORT_APP = { ...APP, limits: { requestTimeoutMs: 10_000, initTimeoutMs: 600 } };

export function httpAppCases({ fixtures, start }: Bench): void {
  it('answers the load when the app listens, and leaves the port to the app', async () => {
    const runtime = await start();
    const load = await runtime.load(fixtures.httpApp, APP);
    expect(load).toMatchObject({ statusCode: 200, json: { state: 'ready', port: runtime.port } });
    const answer = await runtime.serve({
      path: '/orders?x=1',
      body: 'naïve',
      headers: { 'content-type': 'text/plain' },
    });
    expect(answer).toMatchObject({ statusCode: 200, json: { method: 'POST', url: '/orders?x=1', body: 'naïve' } });
    expect(await runtime.invoke({})).toMatchObject({ statusCode: 425, json: { code: 'NotLoaded' } });
    const status = await runtime.status();
    expect(status).toMatchObject({ state: 'ready', inFlight: 0, requests: [] });
    const logs = await runtime.send({ method: 'GET', path: '/v1/logs' });
    expect(logs.json).toMatchObject({ lines: [{ stream: 'stdout', text: 'served /orders?x=1' }] });
  });

  it('ends an app that never listens', async () => {
    const runtime = await start();
    const answer = await runtime.load(fixtures.httpNeverListens, SHORT_APP);
    expect(answer).toMatchObject({ statusCode: 504, json: { code: 'InitTimeout', phase: 'listen' } });
    expect(errorBodySchema.parse(answer.json).message).toContain(String(runtime.port));
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()).toMatchObject({ reason: 'InitTimeout' });
  });

  it('says where an app listens that does not listen on its port', async () => {
    const runtime = await start();
    const answer = await runtime.load(fixtures.httpWrongPort, SHORT_APP);
    const error = errorBodySchema.parse(answer.json);
    expect(error).toMatchObject({ statusCode: 422, code: 'UserCodeError', phase: 'listen' });
    expect(error.message).toMatch(/127\.0\.0\.1:\d+/);
    expect(error.message).toContain(`127.0.0.1:${runtime.port}`);
    expect((await runtime.exited()).exitCode).toBe(1);
  });

  it('answers an app that throws while it starts', async () => {
    const runtime = await start();
    const answer = await runtime.load(fixtures.httpThrows, APP);
    expect(answer).toMatchObject({ statusCode: 422, json: { code: 'UserCodeError', phase: 'import' } });
    expect(errorBodySchema.parse(answer.json).message).toContain('no database today');
  });

  it('names the file of an app that is not there', async () => {
    const runtime = await start();
    const answer = await runtime.load({ ...fixtures.httpApp, handler: 'no-such-file.main' }, APP);
    expect(answer).toMatchObject({ statusCode: 422, json: { code: 'HandlerNotFound' } });
    expect(errorBodySchema.parse(answer.json).message).toContain('no-such-file.main');
  });

  it('ends an app on SIGTERM with 0', async () => {
    const runtime = await start();
    await runtime.load(fixtures.httpApp, APP);
    runtime.child.kill('SIGTERM');
    expect(await runtime.exited()).toEqual({ exitCode: 0, signal: null });
    expect(runtime.termination()).toBeUndefined();
  });
}
