import type { ConformanceCase } from '../conformance-case.ts';
import type { Answer } from '../exchange.ts';
import { atLeast, exactly, expectLike, not } from '../expectation.ts';
import type { Instance } from '../instance.ts';

/** One request for a handler: what it is called with. */
export const INVOKE_CASES: ConformanceCase[] = [
  {
    rule: 'INVOKE-1',
    title: 'answers 425 NotLoaded before a load',
    begins: 'standby',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.invoke({ act: 'nothing' }), { status: 425, body: { code: 'NotLoaded' } });
    },
  },
  {
    rule: 'INVOKE-2',
    title: 'calls the handler with the JSON that was sent, any text in it',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const event = { act: 'echo', text: 'žluťoučký 🐎 日本語 \u0000 \u2028', list: [1, 2.5, null, true, {}] };
      const answer = await runtime.invoke(event);
      expectLike('the answer', answer.status, 200);
      expectLike('the event', (answer.body as { event?: unknown }).event, exactly(event));
    },
  },
  {
    rule: 'INVOKE-3',
    title: 'tells the handler its request, claim, function, service and deadline',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const context = await contextOf(runtime.invoke({ act: 'echo' }, { 'x-request-id': 'told' }));
      expectLike('the context', context, {
        requestId: 'told',
        claimId: 'claim-1',
        function: { name: 'orders/checkout', version: '1.2.3', tenant: 'acme' },
        service: { region: 'north' },
        remainingTimeMs: atLeast(5_000),
        deadlineUnixMs: atLeast(Date.now()),
      });
    },
  },
  {
    rule: 'INVOKE-4',
    title: 'tells the handler method, path, query and headers of its request',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const headers = { traceparent: '00-1-2-01', 'x-own': 'yes' };
      const request = { method: 'PUT', path: '/orders/7?dry=1&name=%C5%BE', body: { act: 'echo' }, headers };
      expectLike('the context', await contextOf(runtime.serve(request)), {
        http: { method: 'PUT', path: '/orders/7', query: { dry: '1', name: 'ž' }, headers },
      });
    },
  },
  {
    rule: 'INVOKE-5',
    title: 'takes any method and path on the served port, its own routes too',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (const [method, path] of [
        ['POST', '/v1/kill'],
        ['PATCH', '/'],
        ['DELETE', '/a/b'],
      ] as const) {
        const answer = await runtime.serve({ method, path, body: { act: 'respond', reply: 'mine' } });
        expectLike(`the answer to ${method} ${path}`, answer, { status: 200 });
        expectLike('its body', answer.bytes.toString(), 'mine');
      }
    },
  },
  {
    rule: 'INVOKE-6',
    title: 'gives X-Request-Id back, in errors too',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const id = { 'x-request-id': 'Given:1._-' };
      expectLike('the answer', await runtime.invoke({ act: 'nothing' }, id), { headers: id });
      expectLike('the error', await runtime.invoke({ act: 'throw', message: 'no' }, id), { headers: id });
    },
  },
  {
    rule: 'INVOKE-7',
    title: 'makes up a request id of its own for each request without one',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const first = (await runtime.invoke({ act: 'nothing' })).headers['x-request-id'];
      const second = (await runtime.invoke({ act: 'nothing' })).headers['x-request-id'];
      expectLike('the first id', first, /^[A-Za-z0-9._:-]{1,128}$/);
      expectLike('the second id', second, /^[A-Za-z0-9._:-]{1,128}$/);
      expectLike('the second id', second, not(first));
    },
  },
  {
    rule: 'INVOKE-8',
    title: 'refuses a malformed X-Request-Id',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'not an id' }), {
        status: 400,
        body: { code: 'BadRequest', details: [{ field: 'X-Request-Id' }] },
      });
    },
  },
  {
    rule: 'INVOKE-9',
    title: 'refuses a malformed X-Deadline-Ms',
    begins: 'loaded',
    run: async ({ runtime }) => {
      expectLike('the answer', await runtime.invoke({ act: 'nothing' }, { 'x-deadline-ms': 'soon' }), {
        status: 400,
        body: { code: 'BadRequest', details: [{ field: 'X-Deadline-Ms' }] },
      });
    },
  },
  {
    rule: 'INVOKE-10',
    title: 'tells the first request from later ones by X-Start-Type',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const types = [];
      for (let index = 0; index < 3; index++) {
        types.push((await runtime.invoke({ act: 'nothing' })).headers['x-start-type']);
      }
      expectLike('X-Start-Type', types, ['standby', 'warm', 'warm']);
    },
  },
  {
    rule: 'INVOKE-11',
    title: 'tells how long a request waited and ran',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const timing = String((await runtime.invoke({ act: 'wait', ms: 100 })).headers['server-timing']);
      expectLike('Server-Timing', timing, /queue;dur=[\d.]+, *handler;dur=[\d.]+/);
      expectLike('handler', Number(/handler;dur=([\d.]+)/.exec(timing)?.[1]), atLeast(90));
    },
  },
  {
    rule: 'INVOKE-12',
    title: 'gives text as text',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke('naïve', { 'content-type': 'text/plain; charset=utf-8' });
      expectLike('what the handler got', answer.body, { type: 'text', length: 5 });
    },
  },
  {
    rule: 'INVOKE-13',
    title: 'gives anything else as bytes',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke(Buffer.from([0, 255, 3]), { 'content-type': 'application/x-any' });
      expectLike('what the handler got', answer.body, { type: 'bytes', length: 3 });
    },
  },
  {
    rule: 'INVOKE-14',
    title: 'parses every kind of JSON by its content type',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const headers = { 'content-type': 'application/cloudevents+json; charset=utf-8' };
      const answer = await runtime.invoke('{"act":"echo"}', headers);
      expectLike('the answer', answer, { status: 200, body: { event: { act: 'echo' } } });
    },
  },
  {
    rule: 'INVOKE-15',
    title: 'answers broken JSON with 400 BadJson and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke('{"act":', { 'content-type': 'application/json' });
      expectLike('the answer', answer, { status: 400, body: { code: 'BadJson' } });
      await expectGoesOn(runtime);
    },
  },
  {
    rule: 'INVOKE-16',
    title: 'calls the handler with an empty object when there is no body',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const { body } = await runtime.serve({ method: 'GET', path: '/' });
      expectLike('the event', (body as { event?: unknown } | undefined)?.event, exactly({}));
    },
  },
];

async function contextOf(answer: Promise<Answer>): Promise<unknown> {
  return ((await answer).body as { context?: unknown } | undefined)?.context;
}

export async function expectGoesOn(runtime: Instance): Promise<void> {
  expectLike('the next request', await runtime.invoke({ act: 'respond', reply: 1 }), { status: 200, body: 1 });
}
