import type { Socket } from 'node:net';
import { buildConnector } from 'undici';
import { AnswerReader, type HttpAnswer } from './answer-reader.ts';
import { ExchangeTimeout, type JsonAnswer, type JsonCall } from './json-client.ts';

export interface PlainClientOptions {
  /** Exchanges at once; others wait. */
  connections: number;
  /**
   * For connections that cost more than an exchange, as those with TLS do: one is kept idle, made before anybody asks, and where that is
   * not enough others follow one at a time, so long after the need arose. Otherwise each exchange that has to wait gets one made at once.
   */
  growAfterMs?: number;
  /** An idle connection is closed after this, or shortly before the server does if that is sooner. */
  idleMs: number;
  /** Makes the connections; without it, those to https endpoints trust what Node trusts. */
  connector?: buildConnector.connector | undefined;
  /** A connection that was open has closed, whoever closed it. */
  onDisconnect?: () => void;
}

const CONNECT_LIMIT_MS = 10_000;
const WAITING_LIMIT = 1_000;
/** How much earlier than the server says this side closes an idle connection. */
const KEPT_MARGIN_MS = 300;
/** For the one that is kept idle; a server that closes it at once must not be asked again at once. */
const REOPEN_MS = 1_000;
const NOT_IN_A_PATH = /[^\x21-\x7e]/;
const NOT_IN_A_LINE = /[^\t\x20-\x7e]/;

/**
 * The counterpart of `PlainFront`: JSON exchanges over kept-alive connections to one server, one after the other on each, without the
 * dispatcher, request and parser objects of a general HTTP client, which touch far more code. A request is sent once and never again.
 */
export class PlainClient {
  readonly #connector: buildConnector.connector;
  readonly #origin: URL;
  readonly #options: PlainClientOptions;
  readonly #connections = new Set<PlainConnection>();
  readonly #idle: PlainConnection[] = [];
  readonly #waiting: Exchange[] = [];
  #opening = 0;
  #growth: NodeJS.Timeout | undefined;
  #isDestroyed = false;

  /** `endpoint`: `unix:/path/to.sock`, or an http(s) origin. */
  constructor(endpoint: string, options: PlainClientOptions) {
    this.#options = options;
    const socketPath = endpoint.startsWith('unix:') ? endpoint.slice('unix:'.length) : null;
    this.#origin = new URL(socketPath === null ? endpoint : 'http://localhost');
    this.#connector = options.connector ?? buildConnector({ socketPath, timeout: CONNECT_LIMIT_MS, allowH2: false });
    if (options.growAfterMs !== undefined) this.#connect();
  }

  get isConnected(): boolean {
    return this.#connections.size > 0;
  }

  /**
   * Rejects with {@link ExchangeTimeout}, with what Node says of a connection that cannot be made (nothing was sent then) or that
   * broke, or with `BadAnswer`.
   */
  exchange(call: JsonCall): Promise<JsonAnswer> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(this.#text(call), call, { resolve, reject });
      const connection = this.#takeIdle();
      if (connection !== undefined) {
        connection.send(exchange);
        return this.#growLater();
      }
      if (this.#isDestroyed) return exchange.fail(new Error('the client is closed'));
      if (this.#waiting.length >= WAITING_LIMIT)
        return exchange.fail(new Error(`${WAITING_LIMIT} requests wait for a connection already`));
      this.#waiting.push(exchange);
      this.#connectForWaiting();
    });
  }

  /** Whatever is under way fails. */
  destroy(): void {
    this.#isDestroyed = true;
    clearTimeout(this.#growth);
    for (const connection of this.#connections) connection.destroy(new Error('the client was closed'));
    for (const exchange of this.#waiting.splice(0)) exchange.fail(new Error('the client was closed'));
  }

  #text({ method, path, body, headers }: JsonCall): string {
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#origin.host}\r\n`;
    let isPlain = !NOT_IN_A_PATH.test(path);
    for (const name in headers) {
      const line = `${name}: ${headers[name]}`;
      isPlain &&= !NOT_IN_A_LINE.test(line);
      head += `${line}\r\n`;
    }
    if (!isPlain)
      throw new TypeError(
        `${method} ${JSON.stringify(path)} cannot be sent: it or its headers hold control characters`,
      );
    const json = body === undefined ? '' : JSON.stringify(body);
    if (body !== undefined) head += 'content-type: application/json\r\n';
    if (method !== 'GET') head += `content-length: ${Buffer.byteLength(json)}\r\n`;
    return `${head}\r\n${json}`;
  }

  /** As many as there are exchanges that wait, or one after the other. */
  #connectForWaiting(): void {
    const wanted = this.#waiting.filter(({ isOver }) => !isOver).length;
    if (wanted <= this.#opening || !this.#mayConnect) return;
    if (this.#options.growAfterMs !== undefined && this.#connections.size + this.#opening > 0) this.#growLater();
    else this.#connect();
  }

  #growLater(): void {
    const { growAfterMs } = this.#options;
    if (growAfterMs === undefined || !this.#needsMore) return;
    this.#growth ??= setTimeout(() => {
      this.#growth = undefined;
      if (this.#needsMore) this.#connect();
    }, growAfterMs).unref();
  }

  /** No exchange waits while a connection is idle, so whether one waits makes no difference. */
  get #needsMore(): boolean {
    return this.#idle.length === 0 && this.#opening === 0 && this.#mayConnect;
  }

  get #mayConnect(): boolean {
    return !this.#isDestroyed && this.#connections.size + this.#opening < this.#options.connections;
  }

  #connect(): void {
    this.#opening++;
    const { hostname, host, protocol, port } = this.#origin;
    this.#connector({ hostname, host, protocol, port }, (...[error, socket]) => {
      this.#opening--;
      if (error !== null) {
        this.#nextWaiting()?.fail(error);
        return this.#connectForWaiting();
      }
      if (this.#isDestroyed) return void socket.destroy();
      const connection = new PlainConnection(socket, this.#options.idleMs, {
        onFree: () => this.#onFree(connection),
        onGone: () => this.#onGone(connection),
      });
      this.#connections.add(connection);
      this.#onFree(connection);
      this.#growLater();
    });
  }

  /** One that is closing may still stand in the list. */
  #takeIdle(): PlainConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection?.isClosing !== true) return connection;
    }
  }

  #onFree(connection: PlainConnection): void {
    const next = this.#nextWaiting();
    if (next === undefined) this.#idle.push(connection);
    else connection.send(next);
  }

  #onGone(connection: PlainConnection): void {
    this.#connections.delete(connection);
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    if (this.#isDestroyed) return;
    this.#options.onDisconnect?.();
    this.#connectForWaiting();
    if (this.#options.growAfterMs !== undefined) setTimeout(() => this.#growLater(), REOPEN_MS).unref();
  }

  #nextWaiting(): Exchange | undefined {
    for (;;) {
      const next = this.#waiting.shift();
      if (next?.isOver !== true) return next;
    }
  }
}

interface Settle {
  resolve: (answer: JsonAnswer) => void;
  reject: (error: Error) => void;
}

/** One request and where its answer goes. */
class Exchange {
  readonly text: string;
  readonly reader = new AnswerReader();
  isOver = false;
  /** What ends the connection that it is on, if it is on one. */
  onLate: ((error: Error) => void) | undefined;
  readonly #settle: Settle;
  readonly #timer: NodeJS.Timeout;

  constructor(text: string, call: JsonCall, settle: Settle) {
    this.text = text;
    this.#settle = settle;
    this.#timer = setTimeout(
      () => {
        const late = new ExchangeTimeout(call);
        this.fail(late);
        this.onLate?.(late);
      },
      Math.max(1, Math.ceil(call.timeoutMs)),
    );
  }

  succeed({ statusCode, text }: JsonAnswer): void {
    this.isOver = true;
    clearTimeout(this.#timer);
    this.#settle.resolve({ statusCode, text });
  }

  fail(error: Error): void {
    this.isOver = true;
    clearTimeout(this.#timer);
    this.#settle.reject(error);
  }
}

interface ConnectionListeners {
  onFree: () => void;
  onGone: () => void;
}

class PlainConnection {
  readonly #socket: Socket;
  readonly #listeners: ConnectionListeners;
  #idleMs: number;
  #exchange: Exchange | undefined;

  constructor(socket: Socket, idleMs: number, listeners: ConnectionListeners) {
    this.#socket = socket;
    this.#idleMs = idleMs;
    this.#listeners = listeners;
    let problem: Error | undefined;
    socket.on('data', (chunk: Buffer) => this.#read((reader) => reader.push(chunk)));
    socket.on('end', () => this.#read((reader) => reader.end()));
    socket.on('error', (error) => (problem = error));
    socket.on('timeout', () => {
      if (this.#exchange === undefined) socket.destroy();
    });
    socket.on('close', () => {
      this.#over()?.fail(problem ?? new Error('the connection ended before the answer did'));
      listeners.onGone();
    });
    socket.setTimeout(idleMs);
  }

  get isClosing(): boolean {
    return !this.#socket.writable;
  }

  send(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.onLate = (late) => this.#socket.destroy(late);
    this.#socket.write(exchange.text);
  }

  destroy(error: Error): void {
    this.#over()?.fail(error);
    this.#socket.destroy();
  }

  #read(step: (reader: AnswerReader) => HttpAnswer | undefined): void {
    const exchange = this.#exchange;
    // nobody has asked
    if (exchange === undefined) return void this.#socket.destroy();
    let answer: HttpAnswer | undefined;
    try {
      answer = step(exchange.reader);
    } catch (error) {
      return void this.#socket.destroy(error instanceof Error ? error : new Error(String(error)));
    }
    if (answer === undefined) return;
    const { isReusable, keptForMs } = answer;
    this.#over()?.succeed(answer);
    if (!isReusable) return void this.#socket.destroy();
    if (keptForMs !== undefined) this.#keepFor(keptForMs - KEPT_MARGIN_MS);
    this.#listeners.onFree();
  }

  #keepFor(idleMs: number): void {
    if (idleMs >= this.#idleMs) return;
    this.#idleMs = Math.max(1, idleMs);
    this.#socket.setTimeout(this.#idleMs);
  }

  #over(): Exchange | undefined {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    return exchange;
  }
}
