import type { Server } from 'node:http';
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { parsePlainHead, HEAD_END, HEAD_LIMIT_BYTES, type PlainHead } from './plain-head.ts';

export interface PlainRequest {
  method: string;
  path: string;
  query: string;
  /** Names in lower case. */
  headers: Readonly<Record<string, string>>;
  body: Buffer;
  /** Aborts when the connection ends before the answer. */
  signal: AbortSignal;
}

/** Whether the body says that it is JSON. */
export function isJson({ headers }: Pick<PlainRequest, 'headers'>): boolean {
  return /^application\/json\s*(;|$)/i.test(headers['content-type'] ?? '');
}

export interface PlainAnswer {
  statusCode: number;
  /** Sent as JSON. */
  body: unknown;
  headers?: Readonly<Record<string, string>>;
}

export interface PlainFrontOptions {
  /** Which requests are taken here. */
  takes: (method: string, path: string) => boolean;
  /** Never rejects. */
  answer: (request: PlainRequest) => Promise<PlainAnswer>;
  /** What `signal` aborts with. */
  goneReason: () => Error;
  bodyLimitBytes: number;
  /** How long a connection may be idle between requests. */
  keepAliveTimeoutMs: number;
  /** How long a request may be on its way. */
  requestTimeoutMs: number;
}

/**
 * The short way through an HTTP server for the few exchanges that must be fast: complete JSON requests with a `Content-Length` on
 * kept-alive HTTP/1.1 connections, for paths that `takes` names. They are read and answered without node:http's request and response
 * objects, which touch far more code. That counts when the processor's caches are cold, as they are when a claim arrives at an idle platform.
 * A connection with anything else on it is handed to the server before a byte of that request is used, and stays there.
 */
export class PlainFront {
  readonly #options: PlainFrontOptions;
  readonly #connections = new Set<PlainConnection>();
  #isClosing = false;

  constructor(options: PlainFrontOptions) {
    this.#options = options;
  }

  /** Takes the place of what the server does with a new connection, which it tells of by `event`. */
  attach(server: Server, event = 'connection'): void {
    const general = server.listeners(event) as ((socket: Socket) => void)[];
    server.removeAllListeners(event);
    server.on(event, (socket: Socket) => {
      const handOver = (): void => {
        for (const listener of general) listener.call(server, socket);
      };
      const connection = new PlainConnection(socket, this.#options, handOver, () =>
        this.#connections.delete(connection),
      );
      if (this.#isClosing) connection.close();
      this.#connections.add(connection);
    });
  }

  /** Idle connections end now, the others with the answer that is under way. */
  close(): void {
    this.#isClosing = true;
    for (const connection of this.#connections) connection.close();
  }

  destroy(): void {
    this.#isClosing = true;
    for (const connection of this.#connections) connection.destroy();
  }
}

class PlainConnection {
  readonly #socket: Socket;
  readonly #options: PlainFrontOptions;
  readonly #handOverTo: () => void;
  readonly #onLeft: () => void;
  #received: Buffer = Buffer.alloc(0);
  /** Of the request that is being answered. */
  #caller: AbortController | undefined;
  #head: PlainHead | undefined;
  #late: NodeJS.Timeout | undefined;
  #isClosing = false;

  constructor(socket: Socket, options: PlainFrontOptions, handOver: () => void, onLeft: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#handOverTo = handOver;
    this.#onLeft = onLeft;
    socket.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose);
    socket.setTimeout(options.keepAliveTimeoutMs, this.#onIdle);
  }

  close(): void {
    this.#isClosing = true;
    if (this.#caller === undefined) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    // a client that does not wait for its answers is not read any further
    if (this.#caller === undefined) this.#next();
    else this.#socket.pause();
  };

  /** As node:http sees it: a client that says no more has gone. */
  readonly #onEnd = (): void => {
    this.#socket.end();
  };

  readonly #onError = (): void => {
    this.#socket.destroy();
  };

  readonly #onIdle = (): void => {
    if (this.#caller === undefined) this.#socket.destroy();
  };

  readonly #onClose = (): void => {
    clearTimeout(this.#late);
    this.#caller?.abort(this.#options.goneReason());
    this.#onLeft();
  };

  #next(): void {
    const head = this.#head ?? this.#readHead();
    if (head === undefined) return;
    if (this.#received.length < head.bodyEnd) {
      this.#head = head;
      this.#watchArrival();
      return;
    }
    const body = this.#received.subarray(head.bodyStart, head.bodyEnd);
    this.#received = this.#received.subarray(head.bodyEnd);
    this.#head = undefined;
    clearTimeout(this.#late);
    this.#late = undefined;
    const caller = new AbortController();
    this.#caller = caller;
    const { method, path, query, headers } = head;
    void this.#options
      .answer({ method, path, query, headers, body, signal: caller.signal })
      .then((answer) => this.#send(answer));
  }

  /** `undefined`: not here yet, or handed over. */
  #readHead(): PlainHead | undefined {
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) {
      if (this.#received.length > HEAD_LIMIT_BYTES) this.#handOver();
      else if (this.#received.length > 0) this.#watchArrival();
      return undefined;
    }
    const head = parsePlainHead(this.#received.toString('latin1', 0, headEnd), headEnd + HEAD_END.length);
    const { bodyLimitBytes, takes } = this.#options;
    if (head !== undefined && head.bodyEnd - head.bodyStart <= bodyLimitBytes && takes(head.method, head.path)) {
      return head;
    }
    this.#handOver();
    return undefined;
  }

  #watchArrival(): void {
    this.#late ??= setTimeout(() => this.#socket.destroy(), this.#options.requestTimeoutMs);
  }

  #send({ statusCode, body, headers }: PlainAnswer): void {
    this.#caller = undefined;
    if (!this.#socket.writable) return;
    const json = JSON.stringify(body);
    let head = `HTTP/1.1 ${statusCode} ${STATUS_CODES[statusCode]}\r\ncontent-type: application/json; charset=utf-8\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    if (this.#isClosing) head += 'connection: close\r\n';
    this.#socket.write(`${head}content-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
    if (this.#isClosing) return void this.#socket.end();
    if (this.#received.length > 0) this.#next();
    if (this.#caller !== undefined) return;
    if (this.#socket.isPaused()) this.#socket.resume();
  }

  #handOver(): void {
    clearTimeout(this.#late);
    const socket = this.#socket;
    socket.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose);
    socket.setTimeout(0).off('timeout', this.#onIdle);
    this.#onLeft();
    socket.pause();
    socket.unshift(this.#received);
    this.#handOverTo();
    socket.resume();
  }
}
