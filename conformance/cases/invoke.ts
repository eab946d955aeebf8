import http from 'node:http';
import type { ConformanceCase } from '../conformance-case.ts';
import type { Answer } from '../exchange.ts';
import { atLeast, exactly, expectLike, not } from '../expectation.ts';
import type { Instance } from '../instance.ts';

const MIB = 1024 * 1024;

/** One request for a handler: what it is called with, and what it may give back. */
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
  {
    rule: 'INVOKE-17',
    title: 'sends nothing as 204',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'nothing' });
      expectLike('the status', answer.status, 204);
      expectLike('the length of the body', answer.bytes.length, 0);
    },
  },
  {
    rule: 'INVOKE-18',
    title: 'sends a string as text/plain',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'respond', reply: 'plain ž' });
      expectLike('the answer', answer, { status: 200, headers: { 'content-type': /^text\/plain; ?charset=utf-8$/i } });
      expectLike('the body', answer.bytes.toString(), 'plain ž');
    },
  },
  {
    rule: 'INVOKE-19',
    title: 'sends bytes as application/octet-stream',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'bytes', sizeBytes: 10 });
      expectLike('the answer', answer, { status: 200, headers: { 'content-type': 'application/octet-stream' } });
      expectLike('the body', [...answer.bytes], exactly(Array.from({ length: 10 }, () => 7)));
    },
  },
  {
    rule: 'INVOKE-20',
    title: 'sends any other value as JSON',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (const reply of [{ a: [1, 'ž'] }, [1, 2], false, 7]) {
        const answer = await runtime.invoke({ act: 'respond', reply });
        expectLike('the answer', answer, { status: 200, headers: { 'content-type': /^application\/json/ } });
        expectLike('the body', answer.body, exactly(reply));
      }
    },
  },
  {
    rule: 'INVOKE-21',
    title: 'sends status, headers and body of a result that has a statusCode',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const page = { statusCode: 418, headers: { 'X-Own': 'yes', 'Content-Type': 'text/html' }, body: '<p>' };
      const answer = await runtime.invoke({ act: 'respond', reply: page });
      expectLike('the answer', answer, { status: 418, headers: { 'x-own': 'yes', 'content-type': 'text/html' } });
      expectLike('the body', answer.bytes.toString(), '<p>');
      const created = await runtime.invoke({ act: 'respond', reply: { statusCode: 201, body: { id: 1 } } });
      expectLike('the answer', created, { status: 201, body: { id: 1 } });
    },
  },
  {
    rule: 'INVOKE-22',
    title: 'answers a result that cannot be sent with 502, and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      for (const reply of [
        { statusCode: 99 },
        { statusCode: 700 },
        { statusCode: 200, headers: { 'bad name': 'x' } },
      ]) {
        const answer = await runtime.invoke({ act: 'respond', reply });
        expectLike(`the answer to ${JSON.stringify(reply)}`, answer, { status: 502, body: { code: 'UserError' } });
      }
      await expectGoesOn(runtime);
    },
  },
  {
    rule: 'INVOKE-23',
    title: 'lets no header hide in another',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const reply = { statusCode: 200, headers: { 'X-Name': 'a\r\nX-Other: b' }, body: '' };
      const answer = await runtime.invoke({ act: 'respond', reply });
      expectLike('the answer', answer, { status: 502, headers: { 'x-other': undefined }, body: { code: 'UserError' } });
    },
  },
  {
    rule: 'INVOKE-24',
    title: 'takes a body of 6 MiB',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke(Buffer.alloc(6 * MIB), { 'content-type': 'application/octet-stream' });
      expectLike('what the handler got', answer.body, { type: 'bytes', length: 6 * MIB });
    },
  },
  {
    rule: 'INVOKE-25',
    title: 'refuses a larger body with 413, and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke(Buffer.alloc(6 * MIB + 1), { 'content-type': 'application/octet-stream' });
      expectLike('the answer', answer, { status: 413, body: { code: 'BodyTooLarge' } });
      await expectGoesOn(runtime);
    },
  },
  {
    rule: 'INVOKE-26',
    title: 'sends a result of 8 MiB',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'bytes', sizeBytes: 8 * MIB });
      expectLike('the length of the body', answer.bytes.length, 8 * MIB);
    },
  },
  {
    rule: 'INVOKE-27',
    title: 'answers an error of the handler with 502, its message and its own stack, and goes on',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const answer = await runtime.invoke({ act: 'throw', message: 'out of stock' });
      expectLike('the answer', answer, {
        status: 502,
        body: {
          code: 'UserError',
          phase: 'invoke',
          message: /out of stock/,
          stack: not(/bootstrap\/|warmpool[_-]agent/),
        },
      });
      await expectGoesOn(runtime);
    },
  },
  {
    rule: 'INVOKE-28',
    title: 'answers a request whose function ends the process, then ends with the reason on file',
    begins: 'fresh',
    run: async ({ startLoaded }) => {
      for (const exitCode of [4, 0]) {
        const runtime = await startLoaded();
        const answer = await runtime.invoke({ act: 'exit', exitCode }, { 'x-request-id': 'leaving' });
        const message = new RegExp(`exit\\(${exitCode}\\)`);
        expectLike('the answer', answer, { status: 502, body: { code: 'UserError', message } });
        await runtime.expectEnd(1);
        runtime.expectTermination({ reason: 'Exited', requestId: 'leaving' });
      }
    },
  },
  {
    rule: 'INVOKE-29',
    title: 'answers many requests on one connection to the served port',
    begins: 'loaded',
    run: async ({ runtime }) => {
      const connection = new http.Agent({ keepAlive: true, maxSockets: 1 });
      try {
        for (let reply = 1; reply <= 10; reply++) {
          const answer = await runtime.serve({ path: '/', body: { act: 'respond', reply }, connection });
          const open = not(/close/i);
          expectLike('the answer', answer, { status: 200, headers: { connection: open }, body: reply });
        }
      } finally {
        connection.destroy();
      }
    },
  },
  {
    rule: 'INVOKE-30',
    title: 'sends the pieces of a stream as they come',
    begins: 'loaded',
    offer: 'streaming',
    run: async ({ runtime }) => {
      const pieces = ['one ', 'two ž ', 'three'];
      const startedAt = performance.now();
      const arrivals: number[] = [];
      const onPiece = (): void => void arrivals.push(performance.now() - startedAt);
      const answer = await runtime.serve({ path: '/', body: { act: 'stream', pieces, ms: 400 }, onPiece });
      expectLike('the answer', answer.status, 200);
      expectLike('the body', answer.bytes.toString(), pieces.join(''));
      const apart = (arrivals.at(-1) ?? 0) - (arrivals[0] ?? 0);
      expectLike('how long after the first piece the last one came, in ms', apart, atLeast(200));
    },
  },
  {
    rule: 'INVOKE-31',
    title: 'cuts the connection when a stream fails, so that half of it is not taken for the whole',
    begins: 'loaded',
    offer: 'streaming',
    run: async ({ runtime }) => {
      const event = { act: 'stream', pieces: ['one ', 'two '], ms: 20, failsAfter: 1 };
      const headers = { 'x-request-id': 'dried-up' };
      const answer = await runtime.serve({ path: '/', body: event, headers }).catch(() => 'cut');
      expectLike('the answer', answer, 'cut');
      await runtime.untilInFlight(0);
      expectLike('the request', (await runtime.get('/v1/status?requestId=dried-up')).body, {
        requests: [{ state: 'failed', exitReason: /the source dried up/ }],
      });
    },
  },
];

async function contextOf(answer: Promise<Answer>): Promise<unknown> {
  return ((await answer).body as { context?: unknown } | undefined)?.context;
}

async function expectGoesOn(runtime: Instance): Promise<void> {
  expectLike('the next request', await runtime.invoke({ act: 'respond', reply: 1 }), { status: 200, body: 1 });
}
