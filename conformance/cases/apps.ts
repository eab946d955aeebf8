import type { ConformanceCase } from '../conformance-case.ts';
import { atLeast, containing, expectLike, including } from '../expectation.ts';

const SHORT = { limits: { requestTimeoutMs: 10_000, initTimeoutMs: 600 } };

/** Functions of kind `http`. */
export const APP_CASES: ConformanceCase[] = [
  {
    rule: 'APP-1',
    title: 'answers the load of an app when it listens on its port',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const load = await runtime.load('httpApp');
      expectLike('the answer to the load', load, { status: 200, body: { state: 'ready' } });
      if (runtime.facts.port !== undefined) expectLike('the port', load.body, { port: runtime.facts.port });
      expectLike('the answer of the app', await runtime.serve({ method: 'GET', path: '/' }), { status: 200 });
    },
  },
  {
    rule: 'APP-2',
    title: 'leaves the requests on the port to the app, as they are',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      const headers = { 'content-type': 'text/plain' };
      const answer = await runtime.serve({ path: '/orders?x=1', body: 'naïve', headers });
      expectLike('the answer', answer, { status: 200, body: { method: 'POST', url: '/orders?x=1', body: 'naïve' } });
    },
  },
  {
    rule: 'APP-3',
    title: 'answers /v1/invoke of an app with 425',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      expectLike('the answer', await runtime.invoke({}), { status: 425, body: { code: 'NotLoaded' } });
    },
  },
  {
    rule: 'APP-4',
    title: 'keeps what an app writes in the logs',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      await runtime.serve({ path: '/orders', body: 'x' });
      const line = { stream: 'stdout', text: 'served /orders' };
      await runtime.until('the line in the logs', async () => {
        const { body } = await runtime.get('/v1/logs');
        return including(line).holds((body as { lines?: unknown } | undefined)?.lines);
      });
    },
  },
  {
    rule: 'APP-5',
    title: 'answers an app that never listens with 504, phase listen, and the port',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answer = await runtime.load('httpNeverListens', SHORT);
      const { port } = runtime.facts;
      const message = containing('600 ms', ...(port === undefined ? [] : [String(port)]));
      expectLike('the answer', answer, { status: 504, body: { code: 'InitTimeout', phase: 'listen', message } });
    },
  },
  {
    rule: 'APP-6',
    title: 'says where an app listens that does not listen on its port',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answer = await runtime.load('httpWrongPort', SHORT);
      expectLike('the answer', answer, {
        status: 422,
        body: { code: 'UserCodeError', phase: 'listen', message: /127\.0\.0\.1:\d+[\s\S]*:\d+/ },
      });
    },
  },
  {
    rule: 'APP-7',
    title: 'answers an app that throws while it starts with 422',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answer = await runtime.load('httpThrows');
      const body = { code: 'UserCodeError', phase: 'import', message: /no database today/ };
      expectLike('the answer', answer, { status: 422, body });
    },
  },
  {
    rule: 'APP-8',
    title: 'names the file of an app that is not there',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      const answer = await runtime.load('httpApp', { handler: 'no-such-file.main' });
      const body = { code: 'HandlerNotFound', message: /no-such-file\.main/ };
      expectLike('the answer', answer, { status: 422, body });
    },
  },
  {
    rule: 'APP-9',
    title: 'ends an app on SIGTERM with 0',
    begins: 'fresh',
    needsProcess: true,
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      runtime.facts.process?.signal('SIGTERM');
      await runtime.expectEnd(0);
      runtime.expectTermination(undefined);
    },
  },
  {
    rule: 'APP-10',
    title: 'lets an app stream',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      const arrivals: number[] = [];
      const onPiece = (): void => void arrivals.push(performance.now());
      const answer = await runtime.serve({ method: 'GET', path: '/stream', onPiece });
      expectLike('the body', answer.bytes.toString(), 'one two three');
      const apart = (arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0);
      expectLike('how long after the first piece the last one came, in ms', apart, atLeast(100));
    },
  },
  {
    rule: 'APP-11',
    title: 'ends with 1 and the reason on file when an app ends by itself',
    begins: 'fresh',
    run: async ({ start }) => {
      const runtime = await start();
      await runtime.load('httpApp');
      await runtime.serve({ method: 'GET', path: '/exit' }).catch(() => undefined);
      await runtime.expectEnd(1);
      runtime.expectTermination({ reason: 'Exited', message: /5/ });
    },
  },
];
