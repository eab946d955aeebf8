import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { PlainFront, type PlainAnswer, type PlainRequest } from './plain-front.ts';

const WAIT_MS = 5_000;
const BODY_LIMIT_BYTES = 1000;
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** A server that says who answered, with the front before it for POST /plain. */
async function setUp(options: { answer?: (request: PlainRequest) => Promise<PlainAnswer>; timeoutMs?: number } = {}) {
  const requests: PlainRequest[] = [];
  const echo = ({ body, query }: PlainRequest): Promise<PlainAnswer> =>
    Promise.resolve({
      statusCode: 201,
      body: { by: 'front', got: body.toString(), query },
      headers: { 'x-extra': '1' },
    });
  const front = new PlainFront({
    takes: (method, path) => method === 'POST' && path === '/plain',
    answer: (request) => {
      requests.push(request);
      return (options.answer ?? echo)(request);
    },
    goneReason: () => new Error('gone'),
    bodyLimitBytes: BODY_LIMIT_BYTES,
    keepAliveTimeoutMs: options.timeoutMs ?? 60_000,
    requestTimeoutMs: options.timeoutMs ?? 60_000,
  });
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = JSON.stringify({ by: 'server', url: request.url, got: Buffer.concat(chunks).toString() });
      response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body);
    });
  });
  front.attach(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUps.push(() => {
    front.destroy();
    server.close().closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const open = (): Client => {
    const client = new Client(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
    cleanUps.push(() => client.socket.destroy());
    return client;
  };
  return { front, server, requests, open };
}

function post(path: string, body: string, ...headers: string[]): string {
  const lines = ['Host: x', 'Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, ...headers];
  return `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}

class Client {
  readonly socket: Socket;
  hasEnded = false;
  #received = '';
  #wake = (): void => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('utf8').on('data', (text: string) => {
      this.#received += text;
      this.#wake();
    });
    socket
      .on('error', () => {})
      .on('end', () => this.#end())
      .on('close', () => this.#end());
  }

  write(text: string): void {
    this.socket.write(text);
  }

  async answer(): Promise<{ head: string; body: unknown }> {
    for (;;) {
      const headEnd = this.#received.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(this.#received)?.[1] ?? 0);
      if (headEnd >= 0 && this.#received.length >= headEnd + 4 + length) {
        const head = this.#received.slice(0, headEnd);
        const body = this.#received.slice(headEnd + 4, headEnd + 4 + length);
        this.#received = this.#received.slice(headEnd + 4 + length);
        return { head, body: body === '' ? undefined : JSON.parse(body) };
      }
      await this.#more('answer');
    }
  }

  async ended(): Promise<void> {
    while (!this.hasEnded) await this.#more('end');
  }

  #end(): void {
    this.hasEnded = true;
    this.#wake();
  }

  #more(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${WAIT_MS} ms`)), WAIT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

describe('the short way through a server', () => {
  it('takes the plain requests it is for, one after the other on one connection', async () => {
    const client = (await setUp()).open();
    client.write(post('/plain', '{"a":1}'));
    const { head, body } = await client.answer();
    expect(head).toMatch(/^HTTP\/1.1 201 Created\r\n/);
    expect(head).toContain('x-extra: 1');
    expect(body).toEqual({ by: 'front', got: '{"a":1}', query: '' });
    client.write(post('/plain?x=1&y=%20', '"u"'));
    expect((await client.answer()).body).toEqual({ by: 'front', got: '"u"', query: 'x=1&y=%20' });
  });

  it.each([
    ['another path', post('/other', '{}')],
    ['an escaped path', post('/pl%61in', '{}')],
    ['a body above the limit', post('/plain', 'x'.repeat(BODY_LIMIT_BYTES + 1))],
    ['an unusual header', post('/plain', '{}', 'TE: trailers')],
    ['a header sent twice', post('/plain', '{}', 'X-A: 1', 'x-a: 2')],
    ['a header with a tab in its name', post('/plain', '{}').replace('Host:', 'X\t: y\r\nHost:')],
    ['a connection that is to close', post('/plain', '{}', 'Connection: close')],
  ])('leaves %s to the server, byte for byte', async (_, request) => {
    const { open, requests } = await setUp();
    const client = open();
    client.write(request);
    const { head, body } = await client.answer();
    if (head.startsWith('HTTP/1.1 200')) {
      expect(body).toEqual({
        by: 'server',
        url: request.split(' ')[1],
        got: request.slice(request.indexOf('\r\n\r\n') + 4),
      });
    } else expect(head).toMatch(/^HTTP\/1.1 400/);
    expect(requests).toEqual([]);
  });

  it('leaves a connection to the server from its first unusual request on', async () => {
    const client = (await setUp()).open();
    const chunked = 'POST /plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n';
    client.write(post('/plain', '1') + chunked + post('/plain', '3'));
    expect((await client.answer()).body).toMatchObject({ by: 'front', got: '1' });
    expect((await client.answer()).body).toMatchObject({ by: 'server', got: 'hi' });
    expect((await client.answer()).body).toMatchObject({ by: 'server', got: '3' });
  });

  it('answers 400 to what is not HTTP', async () => {
    const client = (await setUp()).open();
    client.write('hello\r\n\r\n');
    expect((await client.answer()).head).toMatch(/^HTTP\/1.1 400/);
  });

  it('puts requests together from pieces, and answers pipelined ones in order', async () => {
    const client = (await setUp()).open();
    const text = post('/plain', '"first"') + post('/plain', '"second"');
    for (const character of text) {
      client.write(character);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.answer()).body).toMatchObject({ by: 'front', got: '"first"' });
    expect((await client.answer()).body).toMatchObject({ by: 'front', got: '"second"' });
  });

  it('ends a connection whose request does not arrive in time, and one that is idle for too long', async () => {
    const { open } = await setUp({ timeoutMs: 60 });
    const [slow, idle] = [open(), open()];
    slow.write(post('/plain', '{"a":1}').slice(0, -2));
    const trickle = setInterval(() => slow.write(' '), 1000);
    await Promise.all([slow.ended(), idle.ended()]);
    clearInterval(trickle);
  });

  it('tells the work for a caller that it is gone', async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<unknown>();
    const { open, requests } = await setUp({
      answer: ({ signal }) => {
        signal.addEventListener('abort', () => resolve(signal.reason));
        return new Promise(() => {});
      },
    });
    const client = open();
    client.write(post('/plain', '{}'));
    while (requests.length === 0) await new Promise((next) => setImmediate(next));
    client.socket.destroy();
    expect(await aborted).toMatchObject({ message: 'gone' });
  });

  it('when it closes, ends idle connections at once and the others with their answer', async () => {
    const { promise: held, resolve } = Promise.withResolvers<PlainAnswer>();
    const { front, server, open, requests } = await setUp({ answer: () => held });
    const [idle, busy] = [open(), open()];
    busy.write(post('/plain', '1'));
    while (requests.length === 0) await new Promise((next) => setImmediate(next));
    const closed = new Promise((done) => server.close(done));
    front.close();
    await idle.ended();
    expect(busy.hasEnded).toBe(false);
    resolve({ statusCode: 200, body: 'late' });
    const { head, body } = await busy.answer();
    expect(head).toContain('connection: close');
    expect(body).toBe('late');
    await busy.ended();
    busy.socket.destroy();
    idle.socket.destroy();
    await closed;
  });
});
