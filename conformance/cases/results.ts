import http from 'node:http';
import type { ConformanceCase } from '../conformance-case.ts';
import { atLeast, exactly, expectLike, not } from '../expectation.ts';
import { expectGoesOn } from './invoke.ts';

const MIB = 1024 * 1024;

/** One request for a handler: what it may give back. */
export const RESULT_CASES: ConformanceCase[] = [
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
  {
    rule: 'INVOKE-32',
    title: 'cuts the connection of a stream that is killed, notes it as cancelled, and goes on',
    begins: 'fresh',
    offer: 'streaming',
    run: async ({ startLoaded }) => {
      const runtime = await startLoaded();
      const event = { act: 'stream', pieces: ['one ', 'two '], ms: 30_000 };
      const begun = Promise.withResolvers<void>();
      const answer = runtime
        .serve({ path: '/', body: event, headers: { 'x-request-id': 'victim' }, onPiece: () => begun.resolve() })
        .catch(() => 'cut');
      await Promise.race([begun.promise, answer]);
      const kill = { requestId: 'victim', reason: 'enough', graceMs: 10_000 };
      expectLike('the answer to the kill', (await runtime.send({ path: '/v1/kill', body: kill })).status, 202);
      expectLike('the answer', await answer, 'cut');
      await runtime.untilInFlight(0);
      expectLike('the request', (await runtime.get('/v1/status?requestId=victim')).body, {
        requests: [{ state: 'cancelled' }],
      });
      expectLike('the next request', await runtime.invoke({ act: 'respond', reply: 1 }), { status: 200 });
    },
  },
];
