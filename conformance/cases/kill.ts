import { existsSync } from 'node:fs';
import type { CaseTools, ConformanceCase } from '../conformance-case.ts';
import type { Answer } from '../exchange.ts';
import { atMost, expectLike, including, oneOf } from '../expectation.ts';
import type { Instance } from '../instance.ts';
import { linesOf } from './logs.ts';

const KILLED = { status: 502, body: { code: 'RequestKilled' } };
const VICTIM = { 'x-request-id': 'victim' };

export const KILL_CASES: ConformanceCase[] = [
  {
    rule: 'KILL-1',
    title: 'cancels a running request that heeds it, and goes on',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime, answer } = await running(tools, 'wait');
      const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim' } });
      expectLike('the answer to the kill', kill, { status: 202, body: { requestId: 'victim', state: 'running' } });
      expectLike('the answer to the request', await answer, KILLED);
      expectLike('the next request', await runtime.invoke({ act: 'respond', reply: 1 }), { status: 200 });
    },
  },
  {
    rule: 'KILL-2',
    title: 'notes the request as cancelled, with the reason that was given',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime, answer } = await running(tools, 'wait');
      await runtime.send({ path: '/v1/kill', body: { requestId: 'victim', reason: 'not needed' } });
      await answer;
      expectLike('the request', (await runtime.get('/v1/status?requestId=victim')).body, {
        requests: [{ state: 'cancelled', exitReason: /not needed/ }],
      });
    },
  },
  {
    rule: 'KILL-3',
    title: 'answers 200 and the final state for a request that had ended',
    begins: 'loaded',
    run: async ({ runtime }) => {
      await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'over' });
      const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'over' } });
      expectLike('the answer', kill, { status: 200, body: { requestId: 'over', state: 'succeeded' } });
    },
  },
  {
    rule: 'KILL-4',
    title: 'discards the process when a running request does not heed it in its grace time',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime, answer } = await running(tools, 'stubborn');
      const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'victim', graceMs: 100 } });
      expectLike('the answer to the kill', kill.status, 202);
      expectLike('the answer to the request', await answer, KILLED);
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'Killed', requestId: 'victim' });
    },
  },
  {
    rule: 'KILL-5',
    title: 'discards the process at once when the kill of a running request is forced',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime, answer } = await running(tools, 'stubborn');
      const startedAt = performance.now();
      const body = { requestId: 'victim', mode: 'force', graceMs: 60_000 };
      expectLike('the answer to the kill', (await runtime.send({ path: '/v1/kill', body })).status, 202);
      expectLike('the answer to the request', await answer, KILLED);
      await runtime.expectGone();
      expectLike('how long it took, in ms', performance.now() - startedAt, atMost(10_000));
      runtime.expectTermination({ reason: 'Killed', requestId: 'victim' });
    },
  },
  {
    rule: 'KILL-6',
    title: 'cancels a waiting request at once and leaves the running one alone',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const first = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.untilInFlight(1);
      const second = runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'queued' });
      await runtime.untilInFlight(2);
      const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'queued' } });
      expectLike('the answer to the kill', kill, { status: 202, body: { state: 'cancelled' } });
      expectLike('the answer to the waiting request', await second, KILLED);
      expectLike('how many requests are left', (await runtime.status())['inFlight'], 1);
      await runtime.release('held');
      await first;
    },
  },
  {
    rule: 'KILL-7',
    title: 'answers 404 RequestUnknown for a request that it does not know',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const kill = await runtime.send({ path: '/v1/kill', body: { requestId: 'nobody' } });
      expectLike('the answer', kill, { status: 404, body: { code: 'RequestUnknown' } });
    },
  },
  {
    rule: 'KILL-8',
    title: 'names a wrong field of a kill, and does nothing',
    begins: 'standby',
    run: async ({ runtime }) => {
      const bodies = { mode: { mode: 'gently' }, graceMs: { graceMs: 60_001 }, requestId: { requestId: '' } };
      for (const [field, body] of Object.entries({ ...bodies, extra: { extra: 1 } })) {
        expectLike(`the answer to ${JSON.stringify(body)}`, await runtime.send({ path: '/v1/kill', body }), {
          status: 400,
          body: { code: 'BadRequest', details: including({ field }) },
        });
      }
      expectLike('the state', (await runtime.status())['state'], 'standby');
    },
  },
  {
    rule: 'KILL-9',
    title: 'answers health and ends by force while user code blocks',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      await untilWatched(runtime);
      runtime.invoke({ act: 'spin' }, VICTIM).catch(() => {});
      await runtime.until('busy in health', async () => {
        const { body } = await runtime.sendToWatchdog({ method: 'GET', path: '/v1/health' });
        return (body as { state?: string } | undefined)?.state === 'busy';
      });
      const body = { requestId: 'victim', mode: 'force', reason: 'stuck' };
      const startedAt = performance.now();
      expectLike('the answer', (await runtime.sendToWatchdog({ path: '/v1/kill', body })).status, 202);
      await runtime.expectGone();
      expectLike('how long it took, in ms', performance.now() - startedAt, atMost(5_000));
      runtime.expectTermination({ reason: 'Killed', requestId: 'victim' });
    },
  },
  {
    rule: 'KILL-10',
    title: 'drains and ends with 0 on a graceful kill of the process',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const kill = await runtime.send({ path: '/v1/kill', body: {} });
      expectLike('the answer', kill, { status: 202, body: { state: 'draining' } });
      await runtime.expectEnd(0);
      runtime.expectTermination(undefined);
    },
  },
  {
    rule: 'KILL-11',
    title: 'gives up draining after the grace time of the kill',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime, answer } = await running(tools, 'stubborn');
      await runtime.send({ path: '/v1/kill', body: { graceMs: 200 } });
      expectLike('the answer to the request', await answer, { status: 502 });
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'Killed' });
    },
  },
  {
    rule: 'KILL-12',
    title: 'ends at once when the kill of the process is forced, with the reason on file',
    begins: 'fresh',
    run: async (tools) => {
      const { runtime } = await running(tools, 'stubborn');
      const kill = await runtime.send({ path: '/v1/kill', body: { mode: 'force', reason: 'over quota' } });
      expectLike('the answer', kill, { status: 202, body: { state: 'terminated' } });
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'Killed', message: /over quota/ });
    },
  },
  {
    rule: 'KILL-13',
    title: 'can be killed by force while it loads',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const load = runtime.load('waitsOnImport').catch(() => undefined);
      await runtime.untilState('loading');
      const kill = await runtime.send({ path: '/v1/kill', body: { mode: 'force', reason: 'claim gone' } });
      expectLike('the answer to the kill', kill.status, 202);
      const answer = await load;
      if (answer !== undefined) expectLike('the answer to the load', answer.status, oneOf(410, 422, 500, 502, 504));
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'Killed', message: /claim gone/ });
    },
  },
  {
    rule: 'KILL-14',
    title: 'ends with 0 when it is killed gracefully while it loads',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const load = runtime.load('waitsOnImport').catch(() => undefined);
      await runtime.untilState('loading');
      const startedAt = performance.now();
      await runtime.send({ path: '/v1/kill', body: {} });
      await load;
      await runtime.expectEnd(0);
      expectLike('how long it took, in ms', performance.now() - startedAt, atMost(8_000));
    },
  },
];

async function running(
  { startLoaded }: CaseTools,
  act: string,
): Promise<{ runtime: Instance; answer: Promise<Answer> }> {
  const runtime = await startLoaded();
  const answer = runtime.invoke({ act, ms: 60_000 }, VICTIM);
  answer.catch(() => {});
  await runtime.untilInFlight(1);
  if (act === 'stubborn') await untilStubborn(runtime);
  return { runtime, answer };
}

/** A request counts as running before its function does, and until then any runtime can stop it. One that holds its lines back fails elsewhere. */
function untilStubborn(runtime: Instance): Promise<void> {
  const deadline = performance.now() + 1_000;
  return runtime.until('the line "stubborn", or 1 s', async () => {
    const lines = await linesOf(runtime, '?requestId=victim');
    return lines.some(({ text }) => text === 'stubborn') || performance.now() > deadline;
  });
}

/** Some runtimes start what answers for a blocked process a moment after the load. */
async function untilWatched(runtime: Instance): Promise<void> {
  const { watchdogPath } = runtime;
  if (watchdogPath === undefined) return;
  const deadline = performance.now() + 2_000;
  await runtime.until('watchdog.sock, or 2 s', () => existsSync(watchdogPath) || performance.now() > deadline);
}
