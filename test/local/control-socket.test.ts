import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { findRuntimes } from '@warmpool/runtime-agent/runtimes.ts';
import { nodejsFixtures, pythonFixtures } from '../contract/runtime-agent/fixtures.ts';
import { StartedRuntime } from '../contract/runtime-agent/started-runtime.ts';

const WAIT_MS = 10_000;
const HEALTH = 'GET /v1/health HTTP/1.1\r\nHost: runtime-agent\r\n\r\n';

/** The control socket as HTTP/1.1: what any client may do with one connection. */
const RUNTIMES = { nodejs: nodejsFixtures, python: pythonFixtures };
const started: StartedRuntime[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((each) => each.dispose()));
});

const present = (await findRuntimes()).flatMap((each) => {
  if ('command' in each) return [each];
  console.warn(`the control socket of ${each.name} is NOT tested on this machine: ${each.missing}`);
  return [];
});

describe.each(present.filter(({ name }) => name in RUNTIMES))('the control socket of $name', (description) => {
  const fixtures = RUNTIMES[description.name as keyof typeof RUNTIMES];
  const start = async (): Promise<StartedRuntime> => {
    const runtime = await StartedRuntime.start(description);
    started.push(runtime);
    return runtime;
  };

  it('answers one request after the other on one connection, also after a refusal', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    client.write(post('/v1/load', '{"claimId":'));
    expect(await client.answer()).toMatchObject({ status: 400, json: { code: 'BadJson' } });
    client.write(post('/v1/load', JSON.stringify(runtime.loadRequest(fixtures.acts))));
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready', claimId: 'claim-1' } });
    client.write(HEALTH);
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready' } });
    client.close();
  });

  it('takes a request that comes byte by byte', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    for (const byte of post('/v1/kill', '{"requestId":"nobody-ünknown"}')) {
      client.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await client.answer()).toMatchObject({ status: 400, json: { code: 'BadRequest' } });
    client.close();
  });

  it('answers requests that were sent at once in their order', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    const load = post('/v1/load', JSON.stringify(runtime.loadRequest(fixtures.acts)));
    client.write(Buffer.concat([load, Buffer.from(HEALTH), Buffer.from(HEALTH.replace('health', 'nothing'))]));
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready', claimId: 'claim-1' } });
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready' } });
    expect(await client.answer()).toMatchObject({ status: 404, json: { code: 'RouteNotFound' } });
    client.close();
  });

  it('takes plain and chunked bodies and an invocation on the same connection', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    client.write(HEALTH);
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'standby' } });
    client.write(chunked('/v1/load', JSON.stringify(runtime.loadRequest(fixtures.acts))));
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready' } });
    client.write(post('/v1/invoke', JSON.stringify({ act: 'respond', reply: { word: 'é' } })));
    expect(await client.answer()).toMatchObject({ status: 200, json: { word: 'é' } });
    client.write(HEALTH);
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready' } });
    client.close();
  });

  it('takes a load with an environment of 200 KB', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    const env = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`BIG_${index}`, 'x'.repeat(20_000)]));
    client.write(post('/v1/load', JSON.stringify({ ...runtime.loadRequest(fixtures.acts), env })));
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'ready' } });
    client.close();
  });

  it('answers a client that has closed its own direction', async () => {
    const runtime = await start();
    const client = await RawClient.open(runtime.socketPath);
    client.end(HEALTH);
    expect(await client.answer()).toMatchObject({ status: 200, json: { state: 'standby' } });
    await client.closed();
  });

  it('refuses what is not HTTP with 400, and closes', async () => {
    const runtime = await start();
    for (const rubbish of ['hello\r\n\r\n', `GET /v1/health HTTP/1.1\r\nContent-Length: x\r\n\r\n`]) {
      const client = await RawClient.open(runtime.socketPath);
      client.write(rubbish);
      expect((await client.answer()).status).toBe(400);
      client.close();
    }
    expect((await runtime.status()).state).toBe('standby');
  });
});

function post(path: string, body: string): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: runtime-agent\r\nContent-Type: application/json\r\n`;
  return Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function chunked(path: string, body: string): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: runtime-agent\r\nContent-Type: application/json\r\n`;
  const middle = Math.floor(body.length / 2);
  const chunks = [body.slice(0, middle), body.slice(middle)]
    .map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`)
    .join('');
  return Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
}

/** Writes bytes as they are and reads answers with a `Content-Length`, or until the end. */
class RawClient {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #hasEnded = false;
  #wake = (): void => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#wake();
    });
  }

  static open(path: string): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path, allowHalfOpen: true }, () => resolve(new RawClient(socket)));
      socket.once('error', reject);
    });
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  end(bytes: string): void {
    this.#socket.end(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  async closed(): Promise<void> {
    while (!this.#hasEnded) await this.#more('the end of the connection');
  }

  async answer(): Promise<{ status: number; json: unknown }> {
    for (;;) {
      const headEnd = this.#received.indexOf('\r\n\r\n');
      if (headEnd >= 0) {
        const head = this.#received.toString('latin1', 0, headEnd);
        const length = /^content-length: *(\d+)$/im.exec(head)?.[1];
        const bodyEnd = length === undefined ? this.#received.length : headEnd + 4 + Number(length);
        if (length === undefined ? this.#hasEnded : this.#received.length >= bodyEnd) {
          const body = this.#received.toString('utf8', headEnd + 4, bodyEnd);
          this.#received = this.#received.subarray(bodyEnd);
          return { status: Number(head.split(' ')[1]), json: parsed(body) };
        }
      }
      if (this.#hasEnded) throw new Error(`the connection ended after ${this.#received.length} bytes of an answer`);
      await this.#more('an answer');
    }
  }

  #more(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${what} within ${WAIT_MS} ms`)), WAIT_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
