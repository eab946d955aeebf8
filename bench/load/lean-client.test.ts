import { createServer, type RequestListener } from 'node:http';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { LeanClient } from './lean-client.ts';

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

async function clientOf(listener: RequestListener): Promise<LeanClient> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const client = await LeanClient.open({ host: '127.0.0.1', port: address.port });
  closing.push(() => {
    client.close();
    server.close();
  });
  return client;
}

describe('the client of the load benchmark', () => {
  it('reads answers with a length, several on one connection', async () => {
    const client = await clientOf((request, response) => {
      request.on('data', (chunk: Buffer) => response.setHeader('x-body', chunk.toString('utf8')));
      request.on('end', () => response.end(JSON.stringify(request.url)));
    });
    expect(await client.send({ method: 'POST', path: '/a', body: { n: 1 } })).toEqual({ status: 200, text: '"/a"' });
    expect(await client.send({ method: 'GET', path: '/b' })).toEqual({ status: 200, text: '"/b"' });
  });

  it('reads an answer in chunks to its end', async () => {
    const client = await clientOf((_, response) => {
      response.statusCode = 201;
      response.write('first ');
      setImmediate(() => response.end('last'));
    });
    const { status, text } = await client.send({ method: 'GET', path: '/' });
    expect([status, text.includes('first'), text.includes('last')]).toEqual([201, true, true]);
  });

  it('fails when the connection ends before the answer does', async () => {
    const client = await clientOf((request) => void request.socket.destroy());
    await expect(client.send({ method: 'GET', path: '/' })).rejects.toThrow();
  });
});
