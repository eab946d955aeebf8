import { createServer } from 'node:net';
import type { Random } from '@warmpool/operator/engine/random.ts';
import { LocalError, isErrno } from '../errors.ts';

/**
 * Below the range that systems use for outgoing connections: a standby pod may wait for hours before it listens, and a connection
 * of any program could have taken the port by then.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 29_999;
const COUNT = LAST_PORT - FIRST_PORT + 1;
const ATTEMPT_LIMIT = 500;

/** Ports for pods: never one that a live pod has, nor one that something listens on now. */
export class PortAllocator {
  readonly #host: string;
  readonly #held = new Set<number>();
  #next: number;

  constructor(host: string, random: Random) {
    this.#host = host;
    this.#next = Math.floor(random() * COUNT);
  }

  async take(): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPT_LIMIT; attempt += 1) {
      const port = FIRST_PORT + this.#next;
      this.#next = (this.#next + 1) % COUNT;
      if (this.#held.has(port)) continue;
      // held before the probe: another caller may ask while it is under way
      this.#held.add(port);
      if (await isFree(this.#host, port)) return port;
      this.#held.delete(port);
    }
    const message = `No free port was found on ${this.#host} between ${FIRST_PORT} and ${LAST_PORT} in ${ATTEMPT_LIMIT} attempts.`;
    throw new LocalError('NoFreePort', message);
  }

  release(port: number): void {
    this.#held.delete(port);
  }
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (isErrno(error, 'EADDRINUSE', 'EACCES') ? resolve(false) : reject(error)));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
