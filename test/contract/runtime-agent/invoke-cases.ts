import { expect, it } from 'vitest';
import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import type { StartedRuntime } from './started-runtime.ts';
import type { Bench } from './suite.ts';

const MIB = 1024 * 1024;

export function invokeCases({ fixtures, start }: Bench): void {
  async function loaded(changes: Record<string, unknown> = {}): Promise<StartedRuntime> {
    const runtime = await start();
    expect((await runtime.load(fixtures.acts, changes)).statusCode).toBe(200);
    return runtime;
  }

  it('answers 425 before a load', async () => {
    const runtime = await start();
    expect(await runtime.invoke({ act: 'nothing' })).toMatchObject({ statusCode: 425, json: { code: 'NotLoaded' } });
  });

  it('calls the handler with the event and the facts of its claim, on the socket and on the port', async () => {
    const runtime = await loaded();
    const body = { act: 'echo', text: 'žluťoučký 🐎' };
    const headers = { 'x-request-id': 'req-1', traceparent: '00-1-2-01' };
    const onSocket = await runtime.send({ path: '/v1/invoke?page=2', body, headers });
    expect(onSocket.statusCode).toBe(200);
    const { event, context } = onSocket.json as { event: unknown; context: Record<string, unknown> };
    expect(event).toEqual(body);
    expect(context).toMatchObject({
      requestId: 'req-1',
      claimId: 'claim-1',
      function: { name: 'orders/checkout', version: '1.2.3', tenant: 'acme' },
      service: { region: 'north' },
      http: { method: 'POST', path: '/', query: { page: '2' }, headers: { traceparent: '00-1-2-01' } },
    });
    expect(context['remainingTimeMs']).toBeGreaterThan(5_000);
    expect(context['deadlineUnixMs']).toBeGreaterThan(Date.now());
    const onPort = await runtime.serve({
      method: 'PUT',
      path: '/orders/7?dry=1',
      body,
      headers: { 'x-request-id': 'req-2' },
    });
    expect(onPort).toMatchObject({
      statusCode: 200,
      headers: { 'x-request-id': 'req-2' },
      json: {
        event: body,
        context: { requestId: 'req-2', http: { method: 'PUT', path: '/orders/7', query: { dry: '1' } } },
      },
    });
  });

  it('tells the first request from later ones, and how long each took', async () => {
    const runtime = await loaded();
    const first = await runtime.invoke({ act: 'nothing' });
    expect(first).toMatchObject({ statusCode: 204, headers: { 'x-start-type': 'standby' } });
    expect(first.headers['x-request-id']).toMatch(/^[A-Za-z0-9._:-]{1,128}$/);
    expect(first.headers['server-timing']).toMatch(/queue;dur=[\d.]+, handler;dur=[\d.]+/);
    const second = await runtime.invoke({ act: 'nothing' });
    expect(second.headers['x-start-type']).toBe('warm');
    expect(second.headers['x-request-id']).not.toBe(first.headers['x-request-id']);
  });

  it('gives the handler JSON, text or bytes, by the content type', async () => {
    const runtime = await loaded();
    const text = await runtime.invoke('naïve', { 'content-type': 'text/plain; charset=utf-8' });
    expect(text.json).toEqual({ type: 'text', length: 5 });
    const bytes = await runtime.invoke(Buffer.from([1, 2, 3]), { 'content-type': 'application/x-any' });
    expect(bytes.json).toEqual({ type: 'bytes', length: 3 });
    const json = await runtime.invoke('{"act":"echo"}', { 'content-type': 'application/cloudevents+json' });
    expect(json.json).toMatchObject({ event: { act: 'echo' } });
    const broken = await runtime.invoke('{"act":', { 'content-type': 'application/json' });
    expect(broken).toMatchObject({ statusCode: 400, json: { code: 'BadJson' } });
    expect((await runtime.status()).state).toBe('ready');
  });

  it('sends what the handler returns by its kind', async () => {
    const runtime = await loaded();
    const respond = (reply: unknown) => runtime.invoke({ act: 'respond', reply });
    expect(await respond('plain')).toMatchObject({
      statusCode: 200,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
    });
    expect(await respond({ a: [1, 'ž'] })).toMatchObject({ statusCode: 200, json: { a: [1, 'ž'] } });
    expect(await respond([1, 2])).toMatchObject({ statusCode: 200, json: [1, 2] });
    expect(await respond(false)).toMatchObject({ statusCode: 200, json: false });
    const bytes = await runtime.invoke({ act: 'bytes', sizeBytes: 10 });
    expect(bytes.headers['content-type']).toBe('application/octet-stream');
    expect([...bytes.bytes]).toEqual(Array.from({ length: 10 }, () => 7));
    const own = await respond({
      statusCode: 418,
      headers: { 'X-Own': 'yes', 'Content-Type': 'text/html' },
      body: '<p>',
    });
    expect(own).toMatchObject({ statusCode: 418, headers: { 'x-own': 'yes', 'content-type': 'text/html' } });
    expect(own.bytes.toString()).toBe('<p>');
    expect(await respond({ statusCode: 201, body: { id: 1 } })).toMatchObject({ statusCode: 201, json: { id: 1 } });
  });

  it('answers a result that cannot be sent with 502, and goes on', async () => {
    const runtime = await loaded();
    for (const reply of [{ statusCode: 99 }, { statusCode: 700 }, { statusCode: 200, headers: { 'bad name': 'x' } }]) {
      const answer = await runtime.invoke({ act: 'respond', reply });
      expect.soft(answer, JSON.stringify(reply)).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    }
    expect((await runtime.invoke({ act: 'nothing' })).statusCode).toBe(204);
  });

  it('carries bodies above 1 MB both ways, and refuses those above 6 MiB', async () => {
    const runtime = await loaded();
    const text = 'é'.repeat(MIB);
    const echoed = await runtime.invoke({ act: 'echo', text });
    expect((echoed.json as { event: { text: string } }).event.text === text).toBe(true);
    const large = await runtime.invoke({ act: 'bytes', sizeBytes: 8 * MIB });
    expect(large.bytes.length).toBe(8 * MIB);
    const sixMiB = await runtime.invoke(Buffer.alloc(6 * MIB), { 'content-type': 'application/octet-stream' });
    expect(sixMiB.json).toEqual({ type: 'bytes', length: 6 * MIB });
    const tooLarge = await runtime.invoke(Buffer.alloc(6 * MIB + 1), { 'content-type': 'application/octet-stream' });
    expect(tooLarge).toMatchObject({ statusCode: 413, json: { code: 'BodyTooLarge' } });
    expect((await runtime.invoke({ act: 'nothing' })).statusCode).toBe(204);
  });

  it('answers an error of the handler with 502 and its stack, and goes on', async () => {
    const runtime = await loaded();
    const answer = await runtime.invoke({ act: 'throw', message: 'out of stock' }, { 'x-request-id': 'unlucky' });
    const error = errorBodySchema.parse(answer.json);
    expect(error).toMatchObject({ statusCode: 502, code: 'UserError', phase: 'invoke' });
    expect(error.message).toContain('out of stock');
    expect(error.stack).not.toContain('bootstrap/');
    expect(answer.headers['x-request-id']).toBe('unlucky');
    const status = await runtime.status();
    expect(status.state).toBe('ready');
    expect(status.requests).toMatchObject([{ id: 'unlucky', state: 'failed' }]);
    expect((await runtime.invoke({ act: 'nothing' })).statusCode).toBe(204);
  });

  it('refuses malformed headers', async () => {
    const runtime = await loaded();
    const id = await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'not an id' });
    expect(id).toMatchObject({ statusCode: 400, json: { code: 'BadRequest', details: [{ field: 'X-Request-Id' }] } });
    const deadline = await runtime.invoke({ act: 'nothing' }, { 'x-deadline-ms': 'soon' });
    expect(deadline).toMatchObject({ statusCode: 400, json: { details: [{ field: 'X-Deadline-Ms' }] } });
  });

  it('runs one request at a time in the order of arrival, and refuses more than a hundred that wait', async () => {
    const runtime = await loaded();
    const running = runtime.invoke({ act: 'wait', ms: 700 }, { 'x-request-id': 'first' });
    await runtime.until('the first to run', async () => (await runtime.status()).state === 'busy');
    const twin = await runtime.invoke({ act: 'nothing' }, { 'x-request-id': 'first' });
    expect(twin).toMatchObject({ statusCode: 409, json: { code: 'RequestIdInUse' } });
    const ended: number[] = [];
    const waiting: Promise<unknown>[] = [];
    for (let index = 0; index < 100; index++) {
      waiting.push(runtime.invoke({ act: 'nothing' }).then(() => ended.push(index)));
      if (index < 3) await runtime.until('it to wait', async () => (await runtime.status()).inFlight === index + 2);
    }
    await runtime.until('a hundred to wait', async () => (await runtime.status()).inFlight === 101);
    const refused = await runtime.invoke({ act: 'nothing' });
    expect(refused).toMatchObject({ statusCode: 429, json: { code: 'QueueFull' } });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect((await running).statusCode).toBe(200);
    await Promise.all(waiting);
    expect(ended.slice(0, 3)).toEqual([0, 1, 2]);
    expect((await runtime.status()).executions).toBe(101);
  });

  it('answers a request that passes its time limit with 504 and discards the process', async () => {
    const runtime = await loaded({ limits: { requestTimeoutMs: 300, initTimeoutMs: 10_000 } });
    const answer = await runtime.invoke({ act: 'stubborn', ms: 60_000 }, { 'x-request-id': 'slow' });
    expect(answer).toMatchObject({ statusCode: 504, json: { code: 'RequestTimeout' } });
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'slow' });
  });

  it('heeds the deadline of the caller, and does not start what is already late', async () => {
    const runtime = await loaded();
    const late = await runtime.invoke({ act: 'nothing' }, { 'x-deadline-ms': String(Date.now() - 1) });
    expect(late).toMatchObject({ statusCode: 504, json: { code: 'RequestTimeout' } });
    expect((await runtime.status()).state).toBe('ready');
    const startedAt = performance.now();
    const headers = { 'x-deadline-ms': String(Date.now() + 300) };
    const answer = await runtime.invoke({ act: 'stubborn', ms: 60_000 }, headers);
    expect(answer).toMatchObject({ statusCode: 504, json: { code: 'RequestTimeout' } });
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });

  it('ends a request that blocks for ever, with an answer or with the reason on file', async () => {
    const runtime = await loaded({ limits: { requestTimeoutMs: 300, initTimeoutMs: 10_000 } });
    const answer = await runtime.invoke({ act: 'spin' }, { 'x-request-id': 'spinning' }).catch(() => undefined);
    await runtime.exited();
    expect(runtime.termination()).toMatchObject({ reason: 'RequestTimeout', requestId: 'spinning' });
    if (answer !== undefined) expect(answer).toMatchObject({ statusCode: 504, json: { code: 'RequestTimeout' } });
  });

  it('answers a request whose function ends the process, then ends', async () => {
    const runtime = await loaded();
    const answer = await runtime.invoke({ act: 'exit', exitCode: 4 }, { 'x-request-id': 'leaving' });
    expect(answer).toMatchObject({ statusCode: 502, json: { code: 'UserError' } });
    expect(errorBodySchema.parse(answer.json).message).toContain('exit(4)');
    expect((await runtime.exited()).exitCode).toBe(1);
    expect(runtime.termination()).toMatchObject({ reason: 'Exited', requestId: 'leaving' });
  });
}
