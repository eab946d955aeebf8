import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { pythonRuntime, startPython } from './fixtures-python/python-process.ts';
import type { PythonProcess } from './fixtures-python/python-process.ts';

const runtime = await pythonRuntime();
const missing = 'missing' in runtime ? runtime.missing : undefined;
if (missing !== undefined) console.warn(`streams in Python are NOT tested on this machine: ${missing}`);

const SOURCE = readFileSync(new URL('fixtures-python/functions/streams.py', import.meta.url), 'utf8');
const LIMIT_MS = 30_000;

describe.skipIf(missing !== undefined)('handlers in Python that answer piece by piece', () => {
  const started: PythonProcess[] = [];
  const loaded = async (way: string): Promise<PythonProcess> => {
    const process = await startPython(runtime as PresentRuntime);
    started.push(process);
    const answer = await process.load({ handler: `streams.${way}`, files: { 'streams.py': SOURCE } });
    expect(answer.text).toContain('"ready"');
    return process;
  };
  /** Undefined before the request has come in. */
  const stateOf = async (process: PythonProcess, id: string): Promise<string | undefined> => {
    const { body } = await process.get(`/v1/status?requestId=${id}`);
    return (body['requests'] as { state: string }[] | undefined)?.[0]?.state;
  };
  const until = async (what: string, isTrue: () => Promise<boolean>): Promise<void> => {
    const end = Date.now() + LIMIT_MS;
    while (!(await isTrue())) {
      if (Date.now() > end) throw new Error(`waited ${LIMIT_MS} ms for ${what}`);
      await pause(20);
    }
  };

  afterEach(async () => {
    await Promise.all(started.splice(0).map((process) => process.stop()));
  });

  it('may be async generators, of text and bytes', async () => {
    const process = await loaded('in_turns');
    const answer = await process.onPort('POST', '/', '{}', { 'content-type': 'application/json' });
    expect(answer).toMatchObject({ status: 200, text: 'one two three' });
    expect(answer.headers).toMatchObject({
      ...{ 'content-type': 'application/octet-stream', 'transfer-encoding': 'chunked', 'x-start-type': 'standby' },
    });
    expect((await process.invoke({})).text).toBe('one two three');
  });

  it('may give status and headers with them', async () => {
    const process = await loaded('as_body');
    const answer = await process.invoke({});
    expect(answer).toMatchObject({ status: 201, text: 'data: 1\n\ndata: 2\n\n' });
    expect(answer.headers).toMatchObject({ 'content-type': 'text/event-stream' });
  });

  it('may have no piece', async () => {
    const process = await loaded('empty');
    expect(await process.invoke({})).toMatchObject({ status: 200, text: '' });
  });

  it('are answered like any error when they fail before the first piece', async () => {
    const process = await loaded('fails_at_once');
    expect(await process.invoke({})).toMatchObject({
      ...{ status: 502, body: { code: 'UserError', message: expect.stringContaining('dry from the start') as string } },
    });
  });

  it('are cut off at a piece that is neither text nor bytes', async () => {
    const process = await loaded('wrong_piece');
    await expect(process.invoke({}, { 'x-request-id': 'wrong' })).rejects.toThrow();
    expect(await stateOf(process, 'wrong')).toBe('failed');
    expect((await process.get('/v1/status')).body['state']).toBe('ready');
  });

  it('reach a client of HTTP/1.0 without chunks, to the end of the connection', async () => {
    const process = await loaded('in_turns');
    const answer = await process.raw(['POST / HTTP/1.0\r\ncontent-length: 2\r\n\r\n{}']);
    expect(answer.toLowerCase()).not.toContain('transfer-encoding');
    expect(answer.split('\r\n\r\n')[1]).toBe('one two three');
  });

  it('wait for a client that does not read, and heed a kill then', async () => {
    const process = await loaded('endless');
    const client = connect(process.port, '127.0.0.1');
    client.on('error', () => {});
    client.pause();
    client.write('POST / HTTP/1.1\r\nhost: a\r\nx-request-id: unread\r\ncontent-length: 0\r\n\r\n');
    await until('the stream to run', async () => (await stateOf(process, 'unread')) === 'running');
    await process.post('/v1/kill', { requestId: 'unread' });
    await until('the stream to end', async () => (await stateOf(process, 'unread')) === 'cancelled');
    client.destroy();
    expect(await process.linesOf('unread')).toEqual(['closed']);
    // what fits into socket buffers and the agent's own, not what a second of an endless source would be
    const { made } = (await process.invoke({ asks: true })).body;
    expect(made).toBeLessThan(1_000);
  });

  it('are closed by a kill while they run', async () => {
    const process = await loaded('slow');
    const answer = process.invoke({}, { 'x-request-id': 'slow' }).then(
      () => 'whole',
      () => 'cut',
    );
    await until('the stream to run', async () => (await stateOf(process, 'slow')) === 'running');
    await process.post('/v1/kill', { requestId: 'slow' });
    await until('the stream to end', async () => (await stateOf(process, 'slow')) === 'cancelled');
    // killed before its first piece it is an answer, after that a connection that was cut
    expect(['whole', 'cut']).toContain(await answer);
    expect((await process.get('/v1/status')).body['state']).toBe('ready');
  });

  it('are closed when the client goes away, and the next request is served', async () => {
    const process = await loaded('slow');
    const client = connect(process.port, '127.0.0.1');
    client.on('error', () => {});
    client.write('POST / HTTP/1.1\r\nhost: a\r\nx-request-id: left\r\ncontent-length: 0\r\n\r\n');
    await once(client, 'data');
    client.destroy();
    await until('the stream to end', async () => (await stateOf(process, 'left')) === 'cancelled');
    expect(await process.linesOf('left')).toEqual(['closed']);
    expect((await process.get('/v1/status')).body['state']).toBe('ready');
  });
});
