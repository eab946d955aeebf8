import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { PortAllocator } from './port-allocator.ts';

const HOST = '127.0.0.1';

describe('ports for pods', () => {
  it('are never given twice while they are held, whoever asks at the same time', async () => {
    const ports = new PortAllocator(HOST, Math.random);
    const taken = await Promise.all(Array.from({ length: 50 }, () => ports.take()));
    expect(new Set(taken).size).toBe(50);
  });

  it('skip what another program listens on', async () => {
    const start = Math.random();
    const server = createServer().listen(await new PortAllocator(HOST, () => start).take(), HOST);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    expect(await new PortAllocator(HOST, () => start).take()).not.toBe(port);
    server.close();
  });

  it('lie below the range of outgoing connections', async () => {
    for (const random of [0, 0.5, 0.999_999]) {
      const port = await new PortAllocator(HOST, () => random).take();
      expect(port).toBeGreaterThanOrEqual(20_000);
      expect(port).toBeLessThan(30_000);
    }
  });
});
