import { mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { NodeEvents } from '../events/node-events.ts';
import { addEventRoutes } from './event-routes.ts';
import { createServer } from './server.ts';

test('a reader of events that does not read is cut off instead of filling the memory', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'warmpool-events-'));
  const events = new NodeEvents();
  const app = createServer({ log: pino({ level: 'silent' }) }, { bodyLimitBytes: 1000 });
  const [pods, cache] = [{ reports: () => [] }, { digests: () => [] }];
  addEventRoutes(app, { node: 'n', pods, cache, events, peerUrl: undefined });
  await app.listen({ path: join(folder, 'a.sock') });
  const socket = createConnection(join(folder, 'a.sock'));
  socket.write('GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n');
  await once(socket, 'readable');
  expect(events.listenerCount).toBe(1);

  const digest = `sha256:${'a'.repeat(64)}`;
  // never reads again: what is sent stays in the server, up to its bound
  for (let sent = 0; sent < 100_000 && events.listenerCount > 0; sent++) {
    events.publish({ type: 'CACHED', digest });
    if (sent % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(events.listenerCount).toBe(0);
  socket.destroy();
  await app.close();
  rmSync(folder, { recursive: true });
});
