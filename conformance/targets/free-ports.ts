import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/** Below the ports that outgoing connections get: what is free now must still be free when the runtime listens on it. */
const LOWEST = 10_000;
const HIGHEST = 32_000;
const ATTEMPTS = 50;

/** Gives no port twice before it has given all the others. */
export class FreePorts {
  #next = randomInt(LOWEST, HIGHEST);

  async take(): Promise<number> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const port = this.#next;
      this.#next = port + 1 < HIGHEST ? port + 1 : LOWEST;
      if (await isFree(port)) return port;
    }
    throw new Error(`found no free port in ${ATTEMPTS} attempts below ${this.#next}`);
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
