import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { Duplex } from 'node:stream';

export interface LinkShape {
  roundTripMs: number;
  /** From server to client, of each connection. */
  bytesPerSecond: number;
}

interface Delayed {
  dueMs: number;
  chunk: Buffer | null;
}

/** Holds this much that was written and is not due yet, on top of what is on its way. */
const QUEUE_MS = 20;

/** The server's end of a connection over a far link: what comes and goes is late by half a round trip, and the handshake by a whole one. */
class FarSocket extends Duplex {
  readonly #socket: Socket;
  readonly #shape: LinkShape;
  readonly #outgoing: Delayed[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sentUntilMs = 0;
  readonly #openMs: number;
  #waiting: (() => void) | undefined;

  constructor(socket: Socket, shape: LinkShape) {
    super();
    this.#socket = socket;
    this.#shape = shape;
    this.#openMs = performance.now() + shape.roundTripMs;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.#receive(null));
    socket.on('error', () => this.destroy());
    socket.on('close', () => this.destroy());
  }

  // what node:http asks of a socket
  setTimeout(): this {
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    const { bytesPerSecond, roundTripMs } = this.#shape;
    const nowMs = performance.now();
    this.#sentUntilMs = Math.max(this.#sentUntilMs, nowMs) + (chunk.length / bytesPerSecond) * 1000;
    this.#outgoing.push({ dueMs: this.#sentUntilMs + roundTripMs / 2, chunk });
    this.#schedule();
    if (this.#sentUntilMs - nowMs < QUEUE_MS) callback();
    else this.#waiting = callback;
  }

  override _final(callback: () => void): void {
    this.#outgoing.push({
      dueMs: Math.max(this.#sentUntilMs, performance.now()) + this.#shape.roundTripMs / 2,
      chunk: null,
    });
    this.#schedule();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    this.#socket.destroy();
    callback(error);
  }

  #receive(chunk: Buffer | null): void {
    const dueMs = Math.max(this.#openMs, performance.now()) + this.#shape.roundTripMs / 2;
    setTimeout(() => this.destroyed || this.push(chunk), Math.max(0, dueMs - performance.now()));
  }

  #schedule(): void {
    const [first] = this.#outgoing;
    if (first === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        this.#flush();
      },
      Math.max(0, first.dueMs - performance.now()),
    );
  }

  #flush(): void {
    const nowMs = performance.now();
    for (let first = this.#outgoing[0]; first !== undefined && first.dueMs <= nowMs + 0.5; first = this.#outgoing[0]) {
      this.#outgoing.shift();
      if (first.chunk === null) this.#socket.end();
      else this.#socket.write(first.chunk);
    }
    if (this.#waiting !== undefined && this.#sentUntilMs - nowMs < QUEUE_MS) {
      const callback = this.#waiting;
      this.#waiting = undefined;
      callback();
    }
    this.#schedule();
  }
}

export interface ShapedPort {
  port: number;
  /** Connections made since the start. */
  connections(): number;
  /** For every connection from now on, and those that are open. */
  reshape(shape: Partial<LinkShape>): void;
  /** Ends every connection. */
  hangUp(): void;
  close(): Promise<void>;
}

/** A port of loopback that behaves like the far end of a link, in front of an HTTP server of this process or of any other port. */
export async function shapedPort(target: Server | { port: number }, shape: LinkShape): Promise<ShapedPort> {
  const current = { ...shape };
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const far = new FarSocket(socket, current);
    far.on('error', () => far.destroy());
    if ('emit' in target) return void target.emit('connection', far);
    const near = connect(target.port, '127.0.0.1');
    near.on('error', () => far.destroy()).on('close', () => far.end());
    far.on('close', () => near.destroy());
    far.pipe(near).pipe(far);
  });
  const hangUp = (): void => open.forEach((socket) => socket.destroy());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    reshape: (changed) => void Object.assign(current, changed),
    hangUp,
    close: async () => {
      server.close();
      hangUp();
      await once(server, 'close');
    },
  };
}
