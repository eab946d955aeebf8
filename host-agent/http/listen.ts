import { chmodSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import type { FastifyInstance } from 'fastify';

export interface TcpAddress {
  kind: 'tcp';
  host: string;
  port: number;
}

export type ListenAddress = { kind: 'unix'; path: string } | TcpAddress;

/** Returns the address as a client would write it. */
export async function listen(app: FastifyInstance, address: ListenAddress): Promise<string> {
  if (address.kind === 'tcp') return app.listen({ host: address.host, port: address.port });
  if (await isAnswering(address.path)) throw new Error(`another process is already listening on ${address.path}`);
  // left by a process that was killed
  rmSync(address.path, { force: true });
  await app.listen({ path: address.path });
  chmodSync(address.path, 0o600);
  return `unix:${address.path}`;
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}
