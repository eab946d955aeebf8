import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Pool } from 'undici';
import { afterEach, expect, it } from 'vitest';
import { connectPool, exchange, ExchangeTimeout } from './json-client.ts';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp();
});

async function serving(listener: RequestListener): Promise<Pool> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const pool = connectPool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { connections: 1 });
  cleanUps.push(
    () => pool.destroy(),
    () => server.close().closeAllConnections(),
  );
  return pool;
}

it('gives the whole answer as text, in however many pieces it comes', async () => {
  const pool = await serving((request, response) => {
    let got = '';
    request.setEncoding('utf8').on('data', (text: string) => (got += text));
    request.on('end', () => {
      response.writeHead(418, { 'content-type': request.headers['content-type'] ?? 'none' });
      const bytes = Buffer.from(`[${got},"ü€"]`);
      for (const byte of bytes) response.write(Uint8Array.of(byte));
      response.end();
    });
  });
  const answer = await exchange(pool, { method: 'POST', path: '/', body: { a: 'é' }, timeoutMs: 5_000 });
  expect(answer).toEqual({ statusCode: 418, text: '[{"a":"é"},"ü€"]' });
});

it('gives up when the time is over, also on an answer that has begun, and leaves the pool usable', async () => {
  let calls = 0;
  const pool = await serving((_, response) => {
    if (++calls === 1) return;
    response.writeHead(200);
    if (calls === 2) response.write('half');
    else response.end('whole');
  });
  const call = { method: 'GET', path: '/', timeoutMs: 50 } as const;
  await expect(exchange(pool, call)).rejects.toThrow(ExchangeTimeout);
  await expect(exchange(pool, call)).rejects.toThrow(ExchangeTimeout);
  expect(await exchange(pool, { ...call, timeoutMs: 5_000 })).toEqual({ statusCode: 200, text: 'whole' });
});

it('never sends what had to wait for a connection until its time was over', async () => {
  const seen: string[] = [];
  const pool = await serving((request, response) => {
    seen.push(request.url ?? '');
    if (request.url === '/slow') setTimeout(() => response.end('slow'), 150);
    else response.end('ok');
  });
  const slow = exchange(pool, { method: 'GET', path: '/slow', timeoutMs: 5_000 });
  await expect(exchange(pool, { method: 'GET', path: '/late', timeoutMs: 30 })).rejects.toThrow(ExchangeTimeout);
  await slow;
  await exchange(pool, { method: 'GET', path: '/next', timeoutMs: 5_000 });
  expect(seen).toEqual(['/slow', '/next']);
});

it('says that nothing was sent when nobody listens', async () => {
  const pool = connectPool('unix:/nowhere/at-all.sock', {});
  cleanUps.push(() => pool.destroy());
  const failed = exchange(pool, { method: 'GET', path: '/', timeoutMs: 5_000 });
  await expect(failed).rejects.toMatchObject({ syscall: 'connect', code: 'ENOENT' });
});
