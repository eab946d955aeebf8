import http from 'node:http';
import net from 'node:net';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import type { ConformanceCase } from '../conformance-case.ts';
import { BrokenRule, expectLike, inWords, oneOf } from '../expectation.ts';
import type { Instance } from '../instance.ts';

/** How the control socket speaks HTTP. Each case leaves the process standby and answering. */
export const HTTP_CASES: ConformanceCase[] = [
  {
    rule: 'HTTP-1',
    title: 'answers an unknown route with 404 RouteNotFound',
    begins: 'standby',
    run: async ({ runtime }) => {
      const expected = { status: 404, body: { code: 'RouteNotFound' } };
      expectLike('the answer', await runtime.get('/v2/load'), expected);
      expectLike('the answer', await runtime.get('/v1/'), expected);
    },
  },
  {
    rule: 'HTTP-2',
    title: 'answers a wrong method with 405 and Allow',
    begins: 'standby',
    run: async ({ runtime }) => {
      const expected = { status: 405, headers: { allow: /\bPOST\b/ }, body: { code: 'MethodNotAllowed' } };
      expectLike('the answer', await runtime.get('/v1/load'), expected);
    },
  },
  {
    rule: 'HTTP-3',
    title: 'gives every error the body of the Error schema, with the status of the answer in it',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answers = [
        await runtime.get('/v1/nowhere'),
        await runtime.send({ path: '/v1/status', body: {} }),
        await runtime.send({ path: '/v1/load', body: { claimId: 7 } }),
        await runtime.send({ path: '/v1/kill', body: { mode: 'gently' } }),
        await runtime.invoke({}),
      ];
      for (const { status, body } of answers) {
        const parsed = errorBodySchema.safeParse(body);
        if (!parsed.success) {
          throw new BrokenRule(
            'the body of an error',
            'one of the Error schema',
            `${inWords(body)}: ${parsed.error.message}`,
          );
        }
        expectLike('the error', { status, ...parsed.data }, { statusCode: status, error: /./, message: /.{8}/ });
      }
    },
  },
  {
    rule: 'HTTP-4',
    title: 'sends JSON as application/json',
    begins: 'standby',
    run: async ({ runtime }) => {
      for (const route of ['/v1/health', '/v1/status', '/v1/logs', '/v1/nowhere']) {
        expectLike(`the answer to ${route}`, await runtime.get(route), {
          headers: { 'content-type': /^application\/json/ },
        });
      }
    },
  },
  {
    rule: 'HTTP-5',
    title: 'keeps a connection open and answers many requests on it in order',
    begins: 'standby',
    run: async ({ runtime }) => {
      const connection = new http.Agent({ keepAlive: true, maxSockets: 1 });
      try {
        for (let index = 0; index < 20; index++) {
          const answer = await runtime.send({ method: 'GET', path: '/v1/health', connection });
          expectLike('the answer', answer, { status: 200, headers: { connection: oneOf(undefined, /keep-alive/i) } });
        }
        const bad = await runtime.send({ path: '/v1/load', body: {}, connection });
        expectLike('the refusal on the same connection', bad, { status: 400 });
        expectLike('the answer after it', await runtime.send({ method: 'GET', path: '/v1/health', connection }), {
          status: 200,
        });
      } finally {
        connection.destroy();
      }
    },
  },
  {
    rule: 'HTTP-6',
    title: 'answers fifty connections at once',
    begins: 'standby',
    run: async ({ runtime }) => {
      const answers = await Promise.all(Array.from({ length: 50 }, () => runtime.get('/v1/health')));
      expectLike(
        'the statuses',
        answers.map(({ status }) => status),
        Array.from({ length: 50 }, () => 200),
      );
    },
  },
  {
    rule: 'HTTP-7',
    title: 'refuses bytes that are not HTTP/1.1, and goes on',
    begins: 'standby',
    run: ({ runtime }) => refusedBytes(runtime, 'GET\r\n\r\n', /^$|^HTTP\/1\.[01] 4/),
  },
  {
    rule: 'HTTP-8',
    title: 'refuses a request with two lengths, and goes on',
    begins: 'standby',
    run: ({ runtime }) =>
      refusedBytes(
        runtime,
        'POST /v1/kill HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ',
        /^$|^HTTP\/1\.[01] 4/,
      ),
  },
  {
    rule: 'HTTP-9',
    title: 'refuses a request with a length and chunks, and goes on',
    begins: 'standby',
    run: ({ runtime }) =>
      refusedBytes(
        runtime,
        'POST /v1/kill HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        /^$|^HTTP\/1\.[01] 4/,
      ),
  },
  {
    rule: 'HTTP-10',
    title: 'refuses headers of 256 KiB, and goes on',
    begins: 'standby',
    run: ({ runtime }) =>
      refusedBytes(
        runtime,
        `GET /v1/health HTTP/1.1\r\nHost: a\r\nX-Long: ${'x'.repeat(256 * 1024)}\r\n\r\n`,
        /^$|^HTTP\/1\.[01] 4/,
      ),
  },
  {
    rule: 'HTTP-11',
    title: 'takes a JSON body in chunks',
    begins: 'standby',
    run: async ({ runtime }) => {
      const body = JSON.stringify({ mode: 'gently' });
      const [first, second] = [body.slice(0, 5), body.slice(5)];
      const chunks = [first, second].map((each) => `${each.length.toString(16)}\r\n${each}\r\n`).join('');
      const received = await runtime.raw(
        'POST /v1/kill HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
        `${chunks}0\r\n\r\n`,
      );
      expectLike('the answer to a kill with a wrong mode, in chunks', received, /^HTTP\/1\.1 400 [\s\S]*"mode"/);
    },
  },
  {
    rule: 'HTTP-12',
    title: 'is as before when a client goes away in the middle of a body',
    begins: 'standby',
    run: async ({ runtime }) => {
      await hangUpInBody(runtime);
      await runtime.until('standby', async () => (await runtime.status())['state'] === 'standby');
      expectLike('the health', await runtime.get('/v1/health'), { status: 200, body: { state: 'standby' } });
    },
  },
];

/** A refusal is an answer of 4xx or a closed connection; what counts is that nothing was done and the process goes on. */
async function refusedBytes(runtime: Instance, bytes: string, expected: RegExp): Promise<void> {
  expectLike('what came back', await runtime.raw(bytes), expected);
  expectLike('the health afterwards', await runtime.get('/v1/health'), { status: 200, body: { state: 'standby' } });
}

function hangUpInBody(runtime: Instance): Promise<void> {
  const { control } = runtime.facts;
  return new Promise((resolve, reject) => {
    const socket = net.connect('socketPath' in control ? { path: control.socketPath } : control);
    socket.once('error', reject);
    socket.once('connect', () => {
      const head =
        'POST /v1/load HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"claim';
      socket.write(head, () => {
        socket.destroy();
        resolve();
      });
    });
  });
}
