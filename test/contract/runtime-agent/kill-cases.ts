import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Answer } from './socket-client.ts';
import type { StartedRuntime } from './started-runtime.ts';
import type { Bench } from './suite.ts';

export function killCases({ fixtures, start }: Bench): void {
  async function running(act: string): Promise<{ runtime: StartedRuntime; answer: Promise<Answer> }> {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const answer = runtime.invoke({ act, ms: 60_000 }, { 'x-request-id': 'victim' });
    answer.catch(() => {});
    await runtime.until('the request to run', async () => (await runtime.status()).state === 'busy');
    return { runtime, answer };
  }

  it('cancels a running request that heeds it, and goes on', async () => {
    const { runtime, answer } = await running('wait');
    const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim', reason: 'not needed' } });
    expect(kill).toMatchObject({ statusCode: 202, json: { requestId: 'victim', state: 'running' } });
    expect(await answer).toMatchObject({ statusCode: 502, json: { code: 'RequestKilled' } });
    const status = await runtime.status();
    expect(status.state).toBe('ready');
    expect(status.requests).toMatchObject([{ id: 'victim', state: 'cancelled' }]);
    expect(status.requests[0]?.exitReason).toContain('not needed');
    const again = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim' } });
    expect(again).toMatchObject({ statusCode: 200, json: { requestId: 'victim', state: 'cancelled' } });
    expect((await runtime.invoke({ act: 'nothing' })).statusCode).toBe(204);
  });

  it('discards the process when a running request does not heed it in time', async () => {
    const { runtime, answer } = await running('stubborn');
    const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim', graceMs: 100 } });
    expect(kill.statusCode).toBe(202);
    expect(await answer).toMatchObject({ statusCode: 502, json: { code: 'RequestKilled' } });
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()).toMatchObject({ reason: 'Killed', requestId: 'victim' });
  });

  it('discards the process at once when the kill is forced', async () => {
    const { runtime, answer } = await running('stubborn');
    const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim', mode: 'force' } });
    expect(kill.statusCode).toBe(202);
    expect(await answer).toMatchObject({ statusCode: 502, json: { code: 'RequestKilled' } });
    await runtime.exited();
    expect(runtime.termination()).toMatchObject({ reason: 'Killed', requestId: 'victim' });
  });

  it('cancels a waiting request at once and leaves the running one alone', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const first = runtime.invoke({ act: 'wait', ms: 500 });
    await runtime.until('the first to run', async () => (await runtime.status()).state === 'busy');
    const second = runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'waiting' });
    await runtime.until('the second to wait', async () => (await runtime.status()).inFlight === 2);
    const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'waiting' } });
    expect(kill).toMatchObject({ statusCode: 202, json: { state: 'cancelled' } });
    expect(await second).toMatchObject({ statusCode: 502, json: { code: 'RequestKilled' } });
    expect((await first).statusCode).toBe(200);
  });

  it('answers 404 for a request that it does not know, and 400 for a wrong body', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const unknown = await runtime.send({ path: '/v1/kill', body: { requestId: 'nobody' } });
    expect(unknown).toMatchObject({ statusCode: 404, json: { code: 'RequestUnknown' } });
    const status = await runtime.send({ method: 'GET', path: '/v1/status?requestId=nobody' });
    expect(status).toMatchObject({ statusCode: 404, json: { code: 'RequestUnknown' } });
    for (const [field, body] of Object.entries({
      mode: { mode: 'gently' },
      graceMs: { graceMs: 60_001 },
      requestId: { requestId: '' },
    })) {
      const wrong = await runtime.send({ path: '/v1/kill', body });
      expect(wrong).toMatchObject({ statusCode: 400, json: { code: 'BadRequest', details: [{ field }] } });
    }
    expect((await runtime.status()).state).toBe('ready');
  });

  it('answers health and ends the process by force while user code blocks it', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    await untilBlockable(runtime);
    const answer = runtime.invoke({ act: 'spin' }, { 'x-request-id': 'spinning' });
    answer.catch(() => {});
    await runtime.until('the request to block', async () => {
      const health = await runtime.sendToWatchdog({ method: 'GET', path: '/v1/health' });
      return (health.json as { state: string }).state === 'busy';
    });
    const startedAt = performance.now();
    const kill = await runtime.sendToWatchdog({
      path: '/v1/kill',
      body: { requestId: 'spinning', mode: 'force', reason: 'stuck' },
    });
    expect(kill.statusCode).toBe(202);
    await runtime.exited();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(runtime.termination()).toMatchObject({ reason: 'Killed', requestId: 'spinning' });
  });

  it('drains on a graceful kill of the whole process, and gives up after the grace time', async () => {
    const drained = await running('stubborn');
    const kill = await drained.runtime.send({ path: '/v1/kill', body: { graceMs: 200 } });
    expect(kill).toMatchObject({ statusCode: 202, json: { state: 'draining' } });
    expect(await drained.answer).toMatchObject({ statusCode: 502 });
    expect((await drained.runtime.exited()).exitCode).toBe(1);
    expect(drained.runtime.termination()).toMatchObject({ reason: 'Killed' });
    const idle = await start();
    await idle.load(fixtures.acts);
    await idle.send({ path: '/v1/kill', body: {} });
    expect(await idle.exited()).toEqual({ exitCode: 0, signal: null });
  });

  it('ends the whole process at once when forced', async () => {
    const { runtime } = await running('stubborn');
    const kill = await runtime.send({ path: '/v1/kill', body: { mode: 'force', reason: 'over quota' } });
    expect(kill).toMatchObject({ statusCode: 202, json: { state: 'terminated' } });
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()?.message).toContain('over quota');
  });
}

/** Some runtimes start what answers for a blocked process a moment after the load. */
async function untilBlockable(runtime: StartedRuntime): Promise<void> {
  const deadline = performance.now() + 3_000;
  await runtime.until('watchdog.sock, or 3 s', () => existsSync(runtime.watchdogPath) || performance.now() > deadline);
}
