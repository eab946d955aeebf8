import type { ConformanceCase } from '../conformance-case.ts';
import { atLeast, atMost, expectLike } from '../expectation.ts';

const SHORT = { limits: { requestTimeoutMs: 300, initTimeoutMs: 10_000 } };
const LATE = { status: 504, body: { code: 'RequestTimeout' } };

/** Many requests at one instance, and how long each may take. */
export const REQUEST_CASES: ConformanceCase[] = [
  {
    rule: 'QUEUE-1',
    title: 'runs one request at a time unless the load asks for more',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answers = await Promise.all(Array.from({ length: 4 }, () => runtime.invoke({ act: 'overlap', ms: 40 })));
      expectLike(
        'the answers',
        answers,
        Array.from({ length: 4 }, () => ({ status: 200, body: { most: 1 } })),
      );
    },
  },
  {
    rule: 'QUEUE-2',
    title: 'takes waiting requests in the order of their arrival',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const held = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.untilInFlight(1);
      const ended: number[] = [];
      const waiting: Promise<unknown>[] = [];
      for (let index = 0; index < 4; index++) {
        waiting.push(
          runtime.invoke({ act: 'nothing' }).then(
            () => ended.push(index),
            () => {},
          ),
        );
        await runtime.untilInFlight(index + 2);
      }
      await runtime.release('held');
      await Promise.all([held, ...waiting]);
      expectLike('the order in which they ended', ended, [0, 1, 2, 3]);
    },
  },
  {
    rule: 'QUEUE-3',
    title: 'lets a hundred wait, and answers 429 QueueFull with Retry-After beyond',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const held = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.untilInFlight(1);
      const waiting = Array.from({ length: 100 }, () => runtime.invoke({ act: 'nothing' }));
      await runtime.untilInFlight(101);
      const refused = await runtime.invoke({ act: 'nothing' });
      expectLike('the answer to one more', refused, { status: 429, body: { code: 'QueueFull' } });
      expectLike('Retry-After', Number(refused.headers['retry-after']), atLeast(1));
      await runtime.release('held');
      const statuses = (await Promise.all(waiting)).map(({ status }) => status);
      await held;
      expectLike('the highest status of those that waited', Math.max(...statuses), atMost(204));
    },
  },
  {
    rule: 'QUEUE-4',
    title: 'refuses a request id that is queued or running with 409',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const first = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'twin' });
      await runtime.untilInFlight(1);
      const twin = await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'twin' });
      expectLike('the answer', twin, { status: 409, body: { code: 'RequestIdInUse' } });
      await runtime.release('twin');
      expectLike('the answer to the first', await first, { status: 502, body: { code: 'RequestKilled' } });
    },
  },
  {
    rule: 'QUEUE-5',
    title: 'says in the reply to a load how many requests run at once: what was asked for, or less',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const limits = { requestTimeoutMs: 10_000, initTimeoutMs: 10_000, concurrency: 3 };
      const { status, body } = await runtime.load('acts', { limits });
      expectLike('the status', status, 200);
      const { concurrency } = (body ?? {}) as { concurrency?: number };
      expectLike('concurrency', concurrency, atLeast(1));
      expectLike('concurrency', concurrency, atMost(3));
    },
  },
  {
    rule: 'QUEUE-6',
    title: 'runs as many requests at once as it said, and no more',
    begins: 'fresh',
    offer: 'concurrency',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded({
        limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000, concurrency: 3 },
      });
      const answers = await Promise.all(Array.from({ length: 7 }, () => runtime.invoke({ act: 'overlap', ms: 150 })));
      const most = Math.max(...answers.map(({ body }) => (body as { most: number }).most));
      expectLike('the most that ran at once', most, 3);
    },
  },
  {
    rule: 'TIME-1',
    title: 'answers a request that passes its time limit with 504 and discards the process, with the reason on file',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded(SHORT);
      const answer = await runtime.invoke({ act: 'stubborn', ms: 60_000 }, { 'x-request-id': 'slow' });
      expectLike('the answer', answer, LATE);
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'RequestTimeout', requestId: 'slow' });
    },
  },
  {
    rule: 'TIME-2',
    title: 'heeds a deadline of the caller that comes before its own',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const startedAt = performance.now();
      const headers = { 'x-deadline-ms': String(Date.now() + 300) };
      expectLike('the answer', await runtime.invoke({ act: 'stubborn', ms: 60_000 }, headers), LATE);
      expectLike('how long it took, in ms', performance.now() - startedAt, atMost(5_000));
    },
  },
  {
    rule: 'TIME-3',
    title: 'does not start what is already late, and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const { executions } = await runtime.status();
      const headers = { 'x-deadline-ms': String(Date.now() - 1), 'x-request-id': 'late' };
      expectLike('the answer', await runtime.invoke({ act: 'log', text: 'too late' }, headers), LATE);
      const logs = (await runtime.get('/v1/logs?requestId=late')).body;
      expectLike('what the late request wrote', logs, { lines: [] });
      expectLike('the state', (await runtime.status())['state'], 'ready');
      expectLike('executions', Number((await runtime.status())['executions']) - Number(executions), atMost(1));
    },
  },
  {
    rule: 'TIME-4',
    title: 'answers a waiting request when its deadline passes, without starting it, and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const held = runtime.invoke({ act: 'wait', ms: 60_000 }, { 'x-request-id': 'held' });
      await runtime.untilInFlight(1);
      const headers = { 'x-deadline-ms': String(Date.now() + 200), 'x-request-id': 'impatient' };
      expectLike('the answer', await runtime.invoke({ act: 'log', text: 'never' }, headers), LATE);
      expectLike('the request', (await runtime.get('/v1/status?requestId=impatient')).body, {
        requests: [{ state: 'timed_out' }],
      });
      await runtime.release('held');
      await held;
      expectLike('the logs', (await runtime.get('/v1/logs?requestId=impatient')).body, { lines: [] });
    },
  },
  {
    rule: 'TIME-5',
    title: 'ends a request that blocks for ever, with an answer or with the reason on file',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded(SHORT);
      const answer = await runtime.invoke({ act: 'spin' }, { 'x-request-id': 'spinning' }).catch(() => undefined);
      await runtime.expectGone();
      runtime.expectTermination({ reason: 'RequestTimeout', requestId: 'spinning' });
      if (answer !== undefined) expectLike('the answer', answer, LATE);
    },
  },
  {
    rule: 'TIME-6',
    title: 'tells the handler the deadline that holds for it',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const deadlineUnixMs = Date.now() + 4_000;
      const { body } = await runtime.invoke({ act: 'echo' }, { 'x-deadline-ms': String(deadlineUnixMs) });
      expectLike('the context', (body as { context?: unknown }).context, {
        deadlineUnixMs: atMost(deadlineUnixMs + 5),
        remainingTimeMs: atMost(4_000),
      });
    },
  },
];
