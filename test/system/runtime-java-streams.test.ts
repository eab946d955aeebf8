import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { StatusReply } from '@warmpool/protocol/runtime-agent-api.ts';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';
import { classesOf, compileFixtures } from './fixtures-java/fixtures.ts';

const FOLDER = fileURLToPath(new URL('../../runtime-agent/bootstrap/java', import.meta.url));
const runtime = await describeRuntime(FOLDER);
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`streams in Java are NOT tested on this machine: ${missing}`);

const PREPARE_MS = 120_000;
const ENDLESS = 2 ** 31 - 1;
const PIECES = ['one ', 'two ž ', 'three'];

/** A client that sees what comes, and how it ends. */
class RawClient {
  readonly socket: Socket;
  received = '';
  /** What the end of the connection was, once it is there: `end`, or the code of an error. */
  end: string | undefined;

  constructor(address: { port: number; host: string } | { path: string }) {
    this.socket = connect(address).setEncoding('latin1');
    this.socket.on('data', (text: string) => (this.received += text));
    this.socket.on('end', () => (this.end ??= 'end'));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.end ??= error.code ?? error.message));
  }

  get body(): string {
    return Buffer.from(this.received.slice(this.received.indexOf('\r\n\r\n') + 4), 'latin1').toString('utf8');
  }

  request(event: unknown, id: string, line = 'POST / HTTP/1.1'): void {
    const body = JSON.stringify(event);
    const head = [line, 'host: a', `x-request-id: ${id}`, 'content-type: application/json'];
    this.socket.write(`${[...head, `content-length: ${Buffer.byteLength(body)}`].join('\r\n')}\r\n\r\n${body}`);
  }
}

describe.skipIf(missing !== undefined)('handlers in Java that answer piece by piece', () => {
  let compiled = new Map<string, Buffer>();
  const started: StartedRuntime[] = [];
  const clients: RawClient[] = [];

  beforeAll(() => {
    compiled = compileFixtures();
    execFileSync('/bin/sh', [`${FOLDER}/launch.sh`, 'prepare'], { stdio: 'inherit' });
  }, PREPARE_MS);
  afterEach(async () => {
    for (const { socket } of clients.splice(0)) socket.destroy();
    await Promise.all(started.splice(0).map((each) => each.dispose()));
  });

  const loaded = async (limits: Record<string, number> = {}, env = {}): Promise<StartedRuntime> => {
    const process = await StartedRuntime.start(runtime as PresentRuntime, { env });
    started.push(process);
    const files = classesOf(compiled, 'Streams', 'Source', 'SourceInput') as Record<string, never>;
    const changes = { limits: { requestTimeoutMs: 20_000, initTimeoutMs: 10_000, ...limits } };
    expect((await process.load({ handler: 'Streams.run', files }, changes)).json).toMatchObject({ state: 'ready' });
    return process;
  };
  const clientOf = (process: StartedRuntime): RawClient => {
    const client = new RawClient({ host: '127.0.0.1', port: process.port });
    clients.push(client);
    return client;
  };
  const gateOf = (process: StartedRuntime): string => path.join(process.folder, 'gate');
  const open = (process: StartedRuntime): void => writeFileSync(gateOf(process), '');
  const requestOf = async (process: StartedRuntime, id: string): Promise<StatusReply['requests'][number] | undefined> =>
    (await process.status()).requests.find((request) => request.id === id);
  const untilState = (process: StartedRuntime, id: string, state: string): Promise<void> =>
    process.until(`${id} to be ${state}`, async () => (await requestOf(process, id))?.state === state);
  const linesOf = async (process: StartedRuntime, id: string): Promise<string[]> => {
    const { json } = await process.send({ method: 'GET', path: `/v1/logs?requestId=${id}` });
    return (json as { lines: { text: string }[] }).lines.map(({ text }) => text);
  };
  const counts = async (process: StartedRuntime): Promise<{ made: number; closed: number }> =>
    (await process.invoke({ form: 'counts' })).json as { made: number; closed: number };

  it.each(['iterator', 'stream', 'flatMap', 'input'])(
    'may give an %s: a piece is sent before the next is made',
    async (form) => {
      const process = await loaded();
      const client = clientOf(process);
      client.request({ form, pieces: PIECES, at: 2, gate: gateOf(process) }, 'r1');
      await process.until('two pieces', () => client.received.includes('two'));
      expect(await requestOf(process, 'r1')).toMatchObject({ state: 'running' });
      expect(client.received).toMatch(/^HTTP\/1.1 200 OK\r\n/);
      expect(client.received).toMatch(/content-type: application\/octet-stream\r\n/);
      open(process);
      await process.until('the end', () => client.body.endsWith('0\r\n\r\n'));
      expect(client.body).toBe('4\r\none \r\n7\r\ntwo ž \r\n5\r\nthree\r\n0\r\n\r\n');
      await untilState(process, 'r1', 'succeeded');
      expect(await linesOf(process, 'r1')).toEqual(['closed']);
    },
  );

  it('may give them later, with status and headers, or on the socket', async () => {
    const process = await loaded();
    const later = await process.serve({ path: '/', body: { form: 'later', pieces: PIECES } });
    expect(later).toMatchObject({
      statusCode: 200,
      headers: { 'x-start-type': 'standby', 'transfer-encoding': 'chunked' },
    });
    expect(later.bytes.toString()).toBe(PIECES.join(''));
    const body = await process.invoke({ form: 'body', pieces: ['data: 1\n\n', 'data: 2\n\n'] });
    expect(body).toMatchObject({ statusCode: 201, headers: { 'content-type': 'text/event-stream' } });
    expect(body.bytes.toString()).toBe('data: 1\n\ndata: 2\n\n');
    expect(body.headers['server-timing']).toMatch(/queue;dur=.*handler;dur=/);
  });

  it('may give text of any kind and bytes', async () => {
    const process = await loaded();
    const { bytes } = await process.invoke({ form: 'bytes' });
    expect(bytes).toEqual(Buffer.concat([Buffer.from('ž'), Buffer.from([0xff, 0]), Buffer.from('!')]));
  });

  it('keep the order of a parallel Stream', async () => {
    const process = await loaded();
    const expected = Array.from({ length: 1000 }, (_, number) => `${number}\n`).join('');
    expect((await process.invoke({ form: 'parallel' })).bytes.toString()).toBe(expected);
  });

  it('may have no piece', async () => {
    const process = await loaded();
    expect(await process.invoke({ form: 'iterator', pieces: [] })).toMatchObject({
      statusCode: 200,
      bytes: Buffer.from(''),
    });
    expect(await counts(process)).toMatchObject({ closed: 1 });
  });

  it.each(['list', 'set', 'iterable'])('are not meant by a %s, which is JSON', async (form) => {
    const process = await loaded();
    expect(await process.invoke({ form })).toMatchObject({
      ...{ headers: { 'content-type': 'application/json' }, json: ['one', 'two'] },
    });
  });

  it('send a large piece in chunks of bounded size', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form: 'large' }, 'large');
    await process.until('the end', () => client.received.endsWith('\r\n0\r\n\r\n'));
    const sizes = [...client.received.matchAll(/\r\n([0-9a-f]+)\r\n(?=[x\0])/g)].map(([, hex = '']) =>
      parseInt(hex, 16),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1_200_000);
    expect(Math.max(...sizes)).toBe(64 * 1024);
  });

  it('are answered like any error when they fail before the first piece', async () => {
    const process = await loaded();
    const answer = await process.invoke({ form: 'iterator', pieces: PIECES, at: 0 });
    expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    expect(answer.bytes.toString()).toContain('the source dried up');
    expect(await counts(process)).toMatchObject({ closed: 1 });
  });

  it('are closed too when their headers cannot be sent', async () => {
    const process = await loaded();
    const answer = await process.invoke({ form: 'body', pieces: PIECES, headers: { 'x-a': '1\r\nx-b: 2' } });
    expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    expect(await counts(process)).toEqual({ made: 0, closed: 1 });
  });

  it.each([
    ['fail', { form: 'stream', pieces: PIECES, at: 2 }, 'the source dried up'],
    [
      'give what is neither text nor bytes',
      { form: 'number' },
      'a java.lang.Integer, which is neither a string nor bytes',
    ],
  ])('are cut off when they %s, and the request says why', async (_, event, words) => {
    const process = await loaded();
    const client = clientOf(process);
    client.request(event, 'broken');
    await process.until('the end of the connection', () => client.end !== undefined);
    expect(client.body).toContain('one ');
    expect(client.body).not.toContain('0\r\n\r\n');
    await untilState(process, 'broken', 'failed');
    expect((await requestOf(process, 'broken'))?.exitReason).toContain(words);
    expect(await linesOf(process, 'broken')).toEqual(['closed']);
    expect((await process.status()).state).toBe('ready');
  });

  describe('to a client of HTTP/1.0', () => {
    it('come without chunks, to the end of the connection', async () => {
      const process = await loaded();
      const client = clientOf(process);
      client.request({ form: 'iterator', pieces: PIECES }, 'old', 'POST / HTTP/1.0\r\nconnection: keep-alive');
      await process.until('the end of the connection', () => client.end !== undefined);
      expect(client).toMatchObject({ end: 'end', body: PIECES.join('') });
      expect(client.received).not.toMatch(/transfer-encoding/);
    });

    it('end with a reset when they fail, since the plain end would say that they are whole', async () => {
      const process = await loaded();
      const client = clientOf(process);
      client.request({ form: 'iterator', pieces: PIECES, at: 2 }, 'old', 'POST / HTTP/1.0');
      await process.until('the end of the connection', () => client.end !== undefined);
      expect(client.end).toBe('ECONNRESET');
    });

    it('are cut off on the socket too, which knows no reset', async () => {
      const process = await loaded();
      const client = new RawClient({ path: process.socketPath });
      clients.push(client);
      client.request({ form: 'iterator', pieces: PIECES, at: 2 }, 'old', 'POST /v1/invoke HTTP/1.0');
      await process.until('the end of the connection', () => client.end !== undefined);
      expect(await requestOf(process, 'old')).toMatchObject({ state: 'failed' });
      expect((await process.status()).state).toBe('ready');
    });
  });

  it.each([
    ['HEAD', 'HEAD / HTTP/1.1', 200],
    ['a status without a body', 'POST / HTTP/1.1', 204],
  ])('to %s are their head alone, and are not made to their end', async (_, line, status) => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form: 'body', count: ENDLESS, status }, 'endless', line);
    await untilState(process, 'endless', 'succeeded');
    client.request({ form: 'counts' }, 'counts');
    await process.until('the counts', () => client.received.includes('}'));
    const [head, next = ''] = client.received.split(/(?=HTTP\/1.1 )/);
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} [^]*\r\n\r\n$`));
    expect(next).toContain('"closed":1');
    expect(next).toContain('"made":1');
  });

  it('leave the connection in use, for requests that were sent meanwhile too', async () => {
    const process = await loaded();
    const client = clientOf(process);
    for (const id of ['a', 'b', 'c']) client.request({ form: 'iterator', pieces: PIECES }, id);
    await process.until('three ends', () => client.received.split('\r\n0\r\n\r\n').length === 4);
    const ids = [...client.received.matchAll(/x-request-id: (.)/g)].map(([, id]) => id);
    expect(ids).toEqual(['a', 'b', 'c']);
  });

  it('run one at a time like other requests, to their last piece', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form: 'iterator', pieces: PIECES, at: 2, gate: gateOf(process) }, 'first');
    await process.until('two pieces', () => client.received.includes('two'));
    const next = counts(process);
    await process.until('the next to wait', async () => (await process.status()).inFlight === 2);
    open(process);
    expect(await next).toEqual({ made: 3, closed: 1 });
  });

  it('wait for a client that does not read, and hold little meanwhile', async () => {
    const process = await loaded({}, { WARMPOOL_JAVA_OPTIONS: '-Xmx24m' });
    const client = clientOf(process);
    let sizeBytes = 0;
    client.socket.removeAllListeners('data').pause();
    client.request({ form: 'iterator', count: 1600, tells: true }, 'slow');
    let made = 0;
    const standsStill = async (): Promise<boolean> => {
      const before = made;
      await pause(300);
      made = process.output.split('made').length - 1;
      return made > 0 && made === before;
    };
    await process.until('the source to wait', standsStill);
    expect(await requestOf(process, 'slow')).toMatchObject({ state: 'running' });
    client.socket.on('data', (text: string) => (sizeBytes += text.length)).resume();
    await untilState(process, 'slow', 'succeeded');
    await process.until('all of it', () => sizeBytes > 1600 * 64 * 1024);
  });

  it('heed a kill while their client does not read', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.socket.pause();
    client.request({ form: 'iterator', count: ENDLESS }, 'unread');
    await untilState(process, 'unread', 'running');
    await process.send({ path: '/v1/kill', body: { requestId: 'unread' } });
    await untilState(process, 'unread', 'cancelled');
    expect(await linesOf(process, 'unread')).toEqual(['closed']);
    expect(await counts(process)).toMatchObject({ closed: 1 });
  });

  it.each(['iterator', 'input'])('end with a kill (%s), and the others go on', async (form) => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form, pieces: PIECES, at: 2, gate: gateOf(process), closesSlowly: true }, 'killed');
    await process.until('two pieces', () => client.received.includes('two'));
    const next = counts(process);
    await process.until('the next to wait', async () => (await process.status()).inFlight === 2);
    await process.send({ path: '/v1/kill', body: { requestId: 'killed', reason: 'too dear' } });
    await process.until('the end of the connection', () => client.end !== undefined);
    expect(client.body).not.toContain('0\r\n\r\n');
    expect(await next).toEqual({ made: 2, closed: 1 });
    expect(await requestOf(process, 'killed')).toMatchObject({
      ...{ state: 'cancelled', exitReason: expect.stringContaining('too dear') as string },
    });
    expect(await linesOf(process, 'killed')).toEqual(['closed']);
    expect((await process.status()).state).toBe('ready');
  });

  it('end with a kill after the piece in hand, when they do not heed the interrupt', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.request(
      { form: 'iterator', pieces: PIECES, at: 1, gate: gateOf(process), isDeaf: true, closesSlowly: true },
      'deaf',
    );
    await process.until('a piece', () => client.received.includes('one'));
    await process.send({ path: '/v1/kill', body: { requestId: 'deaf', graceMs: 10_000 } });
    open(process);
    await untilState(process, 'deaf', 'cancelled');
    expect(await counts(process)).toEqual({ made: 2, closed: 1 });
    expect(client.received).not.toContain('two');
    expect(await linesOf(process, 'deaf')).toEqual(['closed']);
  });

  it('are closed when their client goes away, and the next request gets its turn', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form: 'iterator', pieces: PIECES, at: 2, gate: gateOf(process), closesSlowly: true }, 'left');
    await process.until('two pieces', () => client.received.includes('two'));
    client.socket.destroy();
    expect(await counts(process)).toEqual({ made: 2, closed: 1 });
    expect(await requestOf(process, 'left')).toMatchObject({
      ...{ state: 'cancelled', exitReason: expect.stringContaining('the client closed the connection') as string },
    });
    expect(await linesOf(process, 'left')).toEqual(['closed']);
  });

  it('are closed when their client goes away without having read', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.socket.pause();
    client.request({ form: 'stream', count: ENDLESS }, 'left');
    await untilState(process, 'left', 'running');
    client.socket.resetAndDestroy();
    await untilState(process, 'left', 'cancelled');
    expect(await counts(process)).toMatchObject({ closed: 1 });
  });

  it('are cut off and closed at their deadline, before the process ends', async () => {
    const process = await loaded({ requestTimeoutMs: 400 });
    const client = clientOf(process);
    client.request({ form: 'iterator', pieces: PIECES, at: 2, gate: gateOf(process), closesSlowly: true }, 'late');
    await process.until('the end of the connection', () => client.end !== undefined);
    expect(client.body).toMatch(/one [^]*two/);
    expect(client.body).not.toContain('0\r\n\r\n');
    expect((await process.exited()).exitCode).toBe(1);
    expect(process.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'late' });
    expect(process.output).toContain('closed');
    expect(process.output).not.toContain('interrupted');
  });

  it('end the process all the same when they heed no deadline', async () => {
    const process = await loaded({ requestTimeoutMs: 300 });
    const client = clientOf(process);
    client.request({ form: 'iterator', pieces: PIECES, at: 1, gate: gateOf(process), isDeaf: true }, 'deaf');
    await process.until('the end of the connection', () => client.end !== undefined);
    expect((await process.exited()).exitCode).toBe(1);
    expect(process.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'deaf' });
  });

  it('are waited for when the process is drained', async () => {
    const process = await loaded();
    const client = clientOf(process);
    client.request({ form: 'iterator', pieces: PIECES, at: 2, gate: gateOf(process) }, 'last');
    await process.until('two pieces', () => client.received.includes('two'));
    process.child.kill('SIGTERM');
    await process.until('the draining', async () => (await process.status()).state === 'draining');
    open(process);
    expect(await process.exited()).toEqual({ exitCode: 0, signal: null });
    expect(client.body).toMatch(/three\r\n0\r\n\r\n$/);
    expect(process.output).toContain('closed');
  });
});
