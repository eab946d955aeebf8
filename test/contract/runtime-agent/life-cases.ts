import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import { healthReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { Bench } from './suite.ts';

export function lifeCases({ fixtures, start }: Bench): void {
  it('shows its socket only when standby is reached, and answers on it at once', async () => {
    const runtime = await start({ returnsEarly: true });
    const refusals: string[] = [];
    await runtime.until('the first answer', async () => {
      const wasThere = existsSync(runtime.socketPath);
      try {
        const answer = await runtime.send({ method: 'GET', path: '/v1/health?probe=ready' });
        expect(answer).toMatchObject({ statusCode: 200, json: { state: 'standby' } });
        return true;
      } catch (error) {
        if (wasThere) refusals.push(String(error));
        return false;
      }
    });
    expect(refusals).toEqual([]);
  });

  it('listens on the served port only after a load', async () => {
    const runtime = await start();
    expect(await connects(runtime.port)).toBe(false);
    expect((await runtime.load(fixtures.acts)).statusCode).toBe(200);
    expect(await connects(runtime.port)).toBe(true);
  });

  it('answers health and status as the schemas say, with a seq that only grows', async () => {
    const runtime = await start();
    const before = await runtime.status();
    expect(before).toMatchObject({
      state: 'standby',
      pid: runtime.child.pid,
      inFlight: 0,
      executions: 0,
      requests: [],
    });
    const health = healthReplySchema.parse((await runtime.send({ method: 'GET', path: '/v1/health' })).json);
    expect(health.epoch).toBe(before.epoch);
    await runtime.load(fixtures.acts);
    const loaded = await runtime.status();
    expect(loaded).toMatchObject({
      state: 'ready',
      claimId: 'claim-1',
      fence: 5,
      port: runtime.port,
      epoch: before.epoch,
    });
    expect(loaded.seq).toBeGreaterThan(before.seq);
    await runtime.invoke({ act: 'nothing' });
    expect((await runtime.status()).seq).toBeGreaterThan(loaded.seq);
  });

  it('counts a running request as in flight, and notes when it became idle', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const idleAtLoad = (await runtime.status()).idleSinceUnixMs ?? 0;
    const answer = runtime.invoke({ act: 'wait', ms: 300 });
    await runtime.until('the request to run', async () => (await runtime.status()).state === 'busy');
    expect((await runtime.status()).inFlight).toBe(1);
    expect((await answer).statusCode).toBe(200);
    const after = await runtime.status();
    expect(after).toMatchObject({ state: 'ready', inFlight: 0, executions: 1 });
    expect(after.idleSinceUnixMs).toBeGreaterThanOrEqual(idleAtLoad + 250);
    expect(after.requests).toMatchObject([{ state: 'succeeded' }]);
  });

  it('answers unknown routes with 404 and wrong methods with 405', async () => {
    const runtime = await start();
    const unknown = await runtime.send({ method: 'GET', path: '/v2/load' });
    expect(unknown.statusCode).toBe(404);
    expect(errorBodySchema.parse(unknown.json).code).toBe('RouteNotFound');
    const wrong = await runtime.send({ method: 'GET', path: '/v1/load' });
    expect(wrong).toMatchObject({ statusCode: 405, headers: { allow: 'POST' }, json: { code: 'MethodNotAllowed' } });
  });

  it('ends at once on SIGTERM while standby', async () => {
    const runtime = await start();
    runtime.child.kill('SIGTERM');
    expect(await runtime.exited()).toEqual({ exitCode: 0, signal: null });
    expect(runtime.termination()).toBeUndefined();
  });

  it('finishes running and waiting requests on SIGTERM, refuses new ones with 410, and exits with 0', async () => {
    const runtime = await start();
    await runtime.load(fixtures.acts);
    const running = runtime.invoke({ act: 'wait', ms: 500 });
    await runtime.until('the request to run', async () => (await runtime.status()).state === 'busy');
    const waiting = runtime.invoke({ act: 'wait', ms: 10 });
    await runtime.until('a request to wait', async () => (await runtime.status()).inFlight === 2);
    runtime.child.kill('SIGTERM');
    await runtime.until('draining', async () => (await runtime.status()).state === 'draining');
    expect(await runtime.invoke({ act: 'nothing' })).toMatchObject({ statusCode: 410, json: { code: 'Draining' } });
    expect(await running).toMatchObject({ statusCode: 200, json: { waited: 500 } });
    expect(await waiting).toMatchObject({ statusCode: 200, json: { waited: 10 } });
    expect(await runtime.exited()).toEqual({ exitCode: 0, signal: null });
  });

  it('ends when its lifeline does, standby or loaded', async () => {
    const [standby, loaded] = await Promise.all([start(), start()]);
    await loaded.load(fixtures.acts);
    standby.child.stdin?.end();
    loaded.child.stdin?.end();
    await Promise.all([standby.exited(), loaded.exited()]);
  });

  it('refuses to boot with a wrong setting, naming it', async () => {
    const runtime = await start({ env: { WARMPOOL_PORT: 'eighty' }, returnsEarly: true });
    expect(await runtime.exited()).toEqual({ exitCode: 2, signal: null });
    await runtime.until('the sentence', () => runtime.output.includes('WARMPOOL_PORT'));
  });

  it('refuses to boot when a module to pre-import is missing, naming it', async () => {
    const runtime = await start({ env: { WARMPOOL_PRE_IMPORT: 'no_such_module_here' }, returnsEarly: true });
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()).toMatchObject({ reason: 'BootFailed' });
    expect(runtime.termination()?.message).toContain('no_such_module_here');
  });

  it('serves without a rehearsal too', async () => {
    const runtime = await start({ env: { WARMPOOL_REHEARSE: '0' } });
    expect((await runtime.load(fixtures.acts)).statusCode).toBe(200);
    expect((await runtime.invoke({ act: 'respond', reply: 7 })).json).toBe(7);
  });
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
