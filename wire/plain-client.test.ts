import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ExchangeTimeout, type JsonCall } from './json-client.ts';
import { PlainClient, type PlainClientOptions } from './plain-client.ts';

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) cleanUp();
});

const CALL: JsonCall = { method: 'POST', path: '/x?y=1', body: { text: 'é' }, timeoutMs: 5_000 };

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUps.push(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A real HTTP server; `sockets` are the connections that requests came on, in order. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const sockets: Socket[] = [];
  const server = createServer((request, response) => {
    sockets.push(request.socket);
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => answer(request, response, body));
  });
  const endpoint = await listen(server);
  cleanUps.push(() => server.closeAllConnections());
  return { endpoint, sockets, server };
}

/** A server of bytes: what it is told to say to each request. */
async function say(reply: (socket: Socket) => void): Promise<string> {
  const open = new Set<Socket>();
  cleanUps.push(() => {
    for (const socket of open) socket.destroy();
  });
  return listen(
    net.createServer((socket) => {
      open.add(socket.on('error', () => undefined));
      socket.on('data', () => reply(socket));
    }),
  );
}

function clientOf(endpoint: string, options: Partial<PlainClientOptions> = {}): PlainClient {
  const client = new PlainClient(endpoint, { connections: 4, idleMs: 60_000, ...options });
  cleanUps.push(() => client.destroy());
  return client;
}

describe('an exchange with a real server', () => {
  it('arrives whole and comes back whole, however the server frames it', async () => {
    const { endpoint, sockets } = await serve((request, response, body) => {
      const text = JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body });
      if (sockets.length === 1) response.writeHead(201, { 'content-length': Buffer.byteLength(text) });
      else response.writeHead(202); // in chunks
      response.end(text);
    });
    const client = clientOf(endpoint);
    for (const statusCode of [201, 202]) {
      const answer = await client.exchange({ ...CALL, headers: { 'x-a': 'b' } });
      expect(answer.statusCode).toBe(statusCode);
      expect(JSON.parse(answer.text)).toMatchObject({
        ...{ method: 'POST', url: '/x?y=1', body: '{"text":"é"}' },
        headers: { host: endpoint.slice('http://'.length), 'content-type': 'application/json', 'x-a': 'b' },
      });
    }
    const got = await client.exchange({ method: 'GET', path: '/', timeoutMs: 5_000 });
    expect(JSON.parse(got.text)).toMatchObject({ method: 'GET', body: '' });
    expect(new Set(sockets).size).toBe(1);
  });

  it('goes over a unix socket', async () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'plain-client-'));
    cleanUps.push(() => rmSync(folder, { recursive: true }));
    const server = createServer((_request, response) => response.end('here')).listen(path.join(folder, 's'));
    cleanUps.push(() => server.close().closeAllConnections());
    await once(server, 'listening');
    expect(await clientOf(`unix:${path.join(folder, 's')}`).exchange(CALL)).toEqual({ statusCode: 200, text: 'here' });
  });

  it('waits for one of the few connections, in order', async () => {
    const open: ServerResponse[] = [];
    const { endpoint, sockets } = await serve((_request, response) => void open.push(response));
    const client = clientOf(endpoint, { connections: 2 });
    const order: number[] = [];
    const all = [0, 1, 2, 3, 4].map((n) => client.exchange({ ...CALL, path: `/${n}` }).then(() => order.push(n)));
    for (let n = 0; n < 5; n++) {
      await expect.poll(() => open.length).toBeGreaterThan(0);
      expect(open.length).toBeLessThanOrEqual(2);
      open.shift()?.end();
    }
    await Promise.all(all);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(sockets).size).toBe(2);
  });

  it('whose time is over ends its connection and leaves the others alone', async () => {
    const { endpoint } = await serve((request, response) => {
      if (request.url !== '/never') response.end('ok');
    });
    let ended = 0;
    const client = clientOf(endpoint, { onDisconnect: () => ended++ });
    const never = client.exchange({ ...CALL, path: '/never', timeoutMs: 100 });
    expect(await client.exchange(CALL)).toMatchObject({ text: 'ok' });
    await expect(never).rejects.toThrow(new ExchangeTimeout({ ...CALL, path: '/never', timeoutMs: 100 }));
    await expect.poll(() => ended).toBe(1);
    expect(await client.exchange(CALL)).toMatchObject({ text: 'ok' });
    expect(client.isConnected).toBe(true);
  });

  it('whose time is over while it waits is never sent', async () => {
    const seen: (string | undefined)[] = [];
    const open: ServerResponse[] = [];
    const { endpoint } = await serve((request, response) => {
      seen.push(request.url);
      open.push(response);
    });
    const client = clientOf(endpoint, { connections: 1 });
    const first = client.exchange({ ...CALL, path: '/first' });
    await expect(client.exchange({ ...CALL, path: '/late', timeoutMs: 50 })).rejects.toBeInstanceOf(ExchangeTimeout);
    await expect.poll(() => open.length).toBe(1);
    const last = client.exchange({ ...CALL, path: '/last' });
    open[0]?.end();
    await first;
    await expect.poll(() => open.length).toBe(2);
    open[1]?.end();
    await last;
    expect(seen).toEqual(['/first', '/last']);
  });

  it('is refused before it is sent when it would be another request', async () => {
    const { endpoint, sockets } = await serve((_request, response) => response.end());
    const client = clientOf(endpoint);
    for (const path of ['/a\r\nx: y', '/a b', '/\u0000'])
      await expect(client.exchange({ ...CALL, path })).rejects.toThrow(/cannot be sent/);
    await expect(client.exchange({ ...CALL, headers: { a: 'b\r\nc: d' } })).rejects.toThrow(/cannot be sent/);
    expect(sockets).toEqual([]);
  });
});

describe('connections', () => {
  it('are not used again when the server closes them, or says that it will soon', async () => {
    const { endpoint, sockets, server } = await serve((request, response) => {
      if (request.url === '/close') response.setHeader('connection', 'close');
      response.end('ok');
    });
    server.keepAliveTimeout = 1_000; // announced; the margin leaves 0.7 s
    const client = clientOf(endpoint);
    await client.exchange({ ...CALL, path: '/close' });
    await client.exchange(CALL);
    expect(new Set(sockets).size).toBe(2);
    await expect.poll(() => client.isConnected, { timeout: 5_000 }).toBe(false);
    await client.exchange(CALL);
    expect(new Set(sockets).size).toBe(3);
  });

  it('that cannot be made fail everybody who waits for one, with the words of the system', async () => {
    const server = net.createServer();
    const endpoint = await listen(server);
    server.close();
    const client = clientOf(endpoint, { connections: 1 });
    const errors = await Promise.all([1, 2, 3].map(() => client.exchange(CALL).catch((error: unknown) => error)));
    for (const error of errors) expect(error).toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect' });
  });

  it('to an https endpoint are made without certificates of its own, too, and trust as Node does', async () => {
    const endpoint = await say((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const client = clientOf(endpoint.replace('http:', 'https:'));
    await expect(client.exchange(CALL)).rejects.toMatchObject({ code: 'ERR_SSL_WRONG_VERSION_NUMBER' });
  });

  it('that break fail their own exchange only', async () => {
    const { endpoint } = await serve((request, response) => {
      if (request.url === '/cut') request.socket.destroy();
      else setTimeout(() => response.end('ok'), 30);
    });
    const client = clientOf(endpoint);
    const other = client.exchange(CALL);
    await expect(client.exchange({ ...CALL, path: '/cut' })).rejects.toThrow();
    expect(await other).toMatchObject({ text: 'ok' });
  });

  it('to somebody who does not speak HTTP end at once', async () => {
    const endpoint = await say((socket) => socket.write('220 mail.example ESMTP\r\n\r\n'));
    await expect(clientOf(endpoint).exchange(CALL)).rejects.toThrow(/begins with "220 mail.example ESMTP"/);
  });

  it('on which something comes unasked are closed: it would be taken for the next answer', async () => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n';
    let count = 0;
    const endpoint = await say((socket) => {
      socket.write(`${answer}a${++count}`);
      if (count === 1) setTimeout(() => socket.write(`${answer}xx`), 20);
    });
    let ended = 0;
    const client = clientOf(endpoint, { onDisconnect: () => ended++ });
    expect(await client.exchange(CALL)).toMatchObject({ text: 'a1' });
    await expect.poll(() => ended).toBe(1);
    expect(await client.exchange(CALL)).toMatchObject({ text: 'a2' });
  });

  it('end with the client, and what was under way fails', async () => {
    const { endpoint, sockets } = await serve(() => undefined);
    const client = clientOf(endpoint, { connections: 1 });
    const all = Promise.allSettled([client.exchange(CALL), client.exchange(CALL)]);
    await expect.poll(() => sockets.length).toBe(1);
    client.destroy();
    expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await expect(client.exchange(CALL)).rejects.toThrow('the client is closed');
    await expect.poll(() => sockets[0]?.destroyed).toBe(true);
  });
});

describe('connections that cost more than an exchange', () => {
  /** As `serve`, with all connections that were made, used or not. */
  async function serveCounting(answer: (request: IncomingMessage, response: ServerResponse) => void) {
    const made: Socket[] = [];
    const served = await serve(answer);
    served.server.on('connection', (socket) => made.push(socket));
    return { ...served, made };
  }
  const NEVER_MS = 2 ** 31 - 1;

  it('are made before anybody asks, and made again when they close', async () => {
    const { endpoint, made, sockets } = await serveCounting((_request, response) => response.end('ok'));
    const client = clientOf(endpoint, { growAfterMs: 500 });
    await expect.poll(() => client.isConnected).toBe(true);
    expect(await client.exchange(CALL)).toMatchObject({ text: 'ok' });
    expect(made).toEqual(sockets);
    made[0]?.destroy();
    await expect.poll(() => made.length, { timeout: 5_000 }).toBe(2);
    await expect.poll(() => client.isConnected).toBe(true);
    expect(await client.exchange(CALL)).toMatchObject({ text: 'ok' });
    expect(sockets[1]).toBe(made[1]);
  });

  it('are not made in numbers for exchanges that are soon through', async () => {
    const { endpoint, made } = await serveCounting((_request, response) => response.end('ok'));
    const client = clientOf(endpoint, { connections: 64, growAfterMs: NEVER_MS });
    await Promise.all(Array.from({ length: 20 }, () => client.exchange(CALL)));
    expect(made).toHaveLength(1);
  });

  it('become more, one at a time, while exchanges take long, and one is free for the next', async () => {
    const open: ServerResponse[] = [];
    const { endpoint, made } = await serveCounting((_request, response) => void open.push(response));
    const client = clientOf(endpoint, { connections: 4, growAfterMs: 5 });
    const all = [client.exchange(CALL)];
    await expect.poll(() => made.length).toBe(2);
    all.push(client.exchange(CALL), client.exchange(CALL));
    await expect.poll(() => made.length).toBe(4);
    all.push(client.exchange(CALL), client.exchange(CALL));
    await expect.poll(() => open.length).toBe(4);
    for (let n = 0; n < 5; n++) {
      await expect.poll(() => open.length).toBeGreaterThan(0);
      open.shift()?.end();
    }
    await Promise.all(all);
    expect(made).toHaveLength(4);
  });

  it('do not hold up an exchange when the idle one has closed and the others are busy', async () => {
    const { endpoint, made } = await serveCounting((request, response) => {
      if (request.url !== '/never') response.end('ok');
    });
    let closed = 0;
    const client = clientOf(endpoint, { growAfterMs: 5, onDisconnect: () => closed++ });
    const never = client.exchange({ ...CALL, path: '/never' }).catch((error: Error) => error.message);
    await expect.poll(() => made.length).toBe(2);
    made[1]?.destroy();
    await expect.poll(() => closed, { interval: 1 }).toBe(1);
    // less than it takes until an idle one is made again
    expect(await client.exchange({ ...CALL, timeoutMs: 700 })).toMatchObject({ text: 'ok' });
    client.destroy();
    expect(await never).toBe('the client was closed');
  });

  it('that cannot be made ahead are tried again by whoever asks', async () => {
    const first = net.createServer();
    const endpoint = await listen(first);
    first.close();
    await once(first, 'close');
    const client = clientOf(endpoint, { growAfterMs: 5 });
    await expect(client.exchange(CALL)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const server = createServer((_request, response) => response.end('ok'));
    server.listen(Number(new URL(endpoint).port), '127.0.0.1');
    cleanUps.push(() => server.close().closeAllConnections());
    await once(server, 'listening');
    expect(await client.exchange(CALL)).toMatchObject({ text: 'ok' });
  });
});
