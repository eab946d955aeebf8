import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostLoadRequest, NodeEvent } from '@warmpool/protocol/host-agent-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { HttpHostAgentClient } from './http-host-agent-client.ts';

const NODE = 'node-1';
const POD = 'pod-1' as PodUid;
const ZERO_TIMINGS = { fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: 1, importMs: 1, totalMs: 1 };
const LOADED = {
  ...{ claimId: 'c', podUid: POD, epoch: 'e', address: { host: '127.0.0.1', port: 1 } },
  ...{ codeSource: 'cache', timings: ZERO_TIMINGS },
};

let server: Server;
let client: HttpHostAgentClient;
let seen: { method: string | undefined; url: string | undefined; body: string }[];
let answer: (response: ServerResponse, request: IncomingMessage) => void;

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({ method: request.method, url: request.url, body });
      answer(response, request);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  client = new HttpHostAgentClient([{ node: NODE, endpoint: `http://127.0.0.1:${port}` }]);
});
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
});

function send(status: number, body: unknown): typeof answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return (response) => void response.writeHead(status, { 'content-type': 'application/json' }).end(text);
}

const load = (timeoutMs = 2_000) => client.load(NODE, { env: {} } as unknown as HostLoadRequest, { timeoutMs });

describe('a load', () => {
  it('is answered with what the host-agent says', async () => {
    answer = send(200, LOADED);
    expect(await load()).toEqual(LOADED);
    expect(seen).toMatchObject([{ method: 'POST', url: '/v1/load' }]);
  });

  it('that is under way to a host-agent which is taken for gone fails then, and the next one takes a new connection', async () => {
    answer = () => undefined;
    const unanswered = expect(load(60_000)).rejects.toMatchObject({ status: 0, code: 'NoAnswer' });
    await expect.poll(() => seen.length).toBe(1);
    client.reset(NODE);
    await unanswered;
    answer = send(200, LOADED);
    expect(await load()).toEqual(LOADED);
  });

  it('has connections of its own, which the host-agent answers on its short way', async () => {
    const sockets = new Map<string, Set<unknown>>();
    answer = (response, request) => {
      const { url = '' } = request;
      sockets.set(url, (sockets.get(url) ?? new Set()).add(request.socket));
      send(200, url === '/v1/load' ? LOADED : { items: [{ podUid: POD, statusCode: 202, state: 'running' }] })(
        response,
        request,
      );
    };
    for (let round = 0; round < 3; round++) {
      await load();
      await client.kill(NODE, POD, {}, { timeoutMs: 2_000 });
    }
    const [loads, kills] = [sockets.get('/v1/load'), sockets.get('/v1/kill:batch')];
    expect(loads?.size).toBeGreaterThan(0);
    expect(kills?.size).toBeGreaterThan(0);
    expect([...(loads ?? [])].filter((socket) => kills?.has(socket))).toEqual([]);
  });

  it.each([
    ['the connection is cut', (response: ServerResponse) => void response.destroy()],
    ['no answer comes in time', () => undefined],
  ])('is sent once and never again when %s: it may have happened', async (_what, behave) => {
    answer = behave;
    await expect(load(200)).rejects.toMatchObject({
      ...{ name: 'HostAgentError', status: 0, code: 'NoAnswer' },
      message: expect.stringContaining(`the host-agent of node ${NODE} did not answer`) as string,
    });
    expect(seen.length).toBe(1);
  });

  it('that is refused passes on code, words, phase and stack of the user’s code', async () => {
    const body = { statusCode: 422, code: 'UserCodeError', error: 'Unprocessable Entity', message: 'it threw' };
    answer = send(422, { ...body, phase: 'import', stack: 'Error: it threw' });
    await expect(load()).rejects.toMatchObject({
      ...{ status: 422, code: 'UserCodeError', message: 'it threw', phase: 'import', userStack: 'Error: it threw' },
    });
  });

  it.each([
    ['a refusal in no known form', 500, '<html>oops</html>', 500],
    ['JSON that is no reply', 200, { hello: 'world' }, 0],
    ['no JSON', 200, 'hello', 0],
    ['nothing', 200, '', 0],
  ])('answered with %s fails as a bad reply', async (_what, status, body, expected) => {
    answer = send(status, body);
    await expect(load()).rejects.toMatchObject({ status: expected, code: 'BadReply' });
  });

  it('on a node that nobody knows is refused without a call', async () => {
    await expect(client.load('node-9', {} as unknown as HostLoadRequest, { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'UnknownNode',
      message: 'no host-agent is known on node node-9',
    });
    expect(seen).toEqual([]);
  });
});

describe('kill and logs', () => {
  it('name the pod, and answer for it', async () => {
    answer = send(200, { items: [{ podUid: POD, statusCode: 202, state: 'running' }] });
    expect(await client.kill(NODE, POD, { requestId: 'r' }, { timeoutMs: 1_000 })).toMatchObject({ statusCode: 202 });
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ items: [{ requestId: 'r', podUid: POD }] });
    answer = send(200, { lines: [], truncated: false });
    await client.logs(NODE, POD, { requestId: 'a:b', limitBytes: 10 }, { timeoutMs: 1_000 });
    expect(seen[1]?.url).toBe('/v1/pods/pod-1/logs?limitBytes=10&requestId=a%3Ab');
  });

  it('fail when the answer has nothing about the pod', async () => {
    answer = send(200, { items: [] });
    await expect(client.kill(NODE, POD, {}, { timeoutMs: 1_000 })).rejects.toMatchObject({ code: 'BadReply' });
  });
});

describe('events', () => {
  async function read(signal: AbortSignal = AbortSignal.timeout(3_000)): Promise<NodeEvent[]> {
    const events: NodeEvent[] = [];
    for await (const event of client.events(NODE, signal)) events.push(event);
    return events;
  }
  const ping = '{"type":"PING"}\n';
  const snapshot = '{"type":"SNAPSHOT","node":"node-1","pods":[],"digests":["ä"]}\n';

  it('come one a line, wherever the pieces are cut', async () => {
    const bytes = Buffer.from(`${snapshot}\n${ping}`);
    answer = (response) => {
      response.writeHead(200);
      for (const byte of bytes) response.write(Buffer.of(byte));
      response.end();
    };
    expect(await read()).toEqual([{ type: 'SNAPSHOT', node: 'node-1', pods: [], digests: ['ä'] }, { type: 'PING' }]);
  });

  it.each([
    ['a refusal', (response: ServerResponse) => void response.writeHead(503).end('later')],
    ['a line that is no JSON', (response: ServerResponse) => void response.writeHead(200).end('{{{\n')],
    ['an event that nobody knows', (response: ServerResponse) => void response.writeHead(200).end('{"type":"X"}\n')],
    [
      'a connection that is cut',
      (response: ServerResponse) => void response.writeHead(200).write(ping, () => response.destroy()),
    ],
  ])('end with an error on %s', async (_what, behave) => {
    answer = behave;
    await expect(read()).rejects.toThrow();
  });

  it('end when they are no longer wanted', async () => {
    answer = (response) => void response.writeHead(200).write(snapshot);
    const stop = new AbortController();
    const events = client.events(NODE, stop.signal)[Symbol.asyncIterator]();
    expect(await events.next()).toMatchObject({ value: { type: 'SNAPSHOT' } });
    stop.abort();
    await expect(events.next()).rejects.toThrow();
  });
});
