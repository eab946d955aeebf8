import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import type { ControlPlaneAccess } from './control-plane.ts';
import { OpenWatch } from './open-watch.ts';

export type CallKind = 'watch' | 'list' | 'get' | 'write';

/** What happens to one call instead of it just being passed on. */
export type Fault = (call: ProxiedCall) => Promise<void> | void;

const WAIT_LIMIT_MS = 15_000;

/**
 * Stands between a client and the real apiserver and breaks what passes, on command. Plain HTTP towards the client; what is not broken
 * goes through unchanged.
 */
export class FaultProxy implements AsyncDisposable {
  /** Each call that reached the proxy, whatever became of it. */
  readonly calls: { kind: CallKind; method: string; path: string }[] = [];
  /** Connections that clients have opened since the start. */
  connectionCount = 0;
  readonly #access: ControlPlaneAccess;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #upstream: Agent;
  readonly #faults: { kind: CallKind; fault: Fault }[] = [];
  readonly #watches = new Set<OpenWatch>();

  private constructor(access: ControlPlaneAccess) {
    this.#access = access;
    this.#upstream = new Agent({ connect: { ca: access.caPem }, headersTimeout: 0, bodyTimeout: 0 });
    // Never closes an idle connection by itself: that would be a fault that no test asked for.
    this.#server = createServer({ keepAliveTimeout: 300_000, requestTimeout: 0 }, (request, response) => {
      this.#handle(request, response).catch(() => request.socket.destroy());
    });
    this.#server.on('connection', (socket) => {
      this.connectionCount += 1;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(access: ControlPlaneAccess): Promise<FaultProxy> {
    const proxy = new FaultProxy(access);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get openWatches(): readonly OpenWatch[] {
    return [...this.#watches];
  }

  countOf(kind: CallKind): number {
    return this.calls.filter((call) => call.kind === kind).length;
  }

  /** The next `times` calls of that kind meet the fault. */
  next(kind: CallKind, fault: Fault, times = 1): void {
    for (let index = 0; index < times; index += 1) this.#faults.push({ kind, fault });
  }

  /** Until a watch is open and passing events on, or `count` of them. */
  async untilWatching(count = 1): Promise<void> {
    const deadline = Date.now() + WAIT_LIMIT_MS;
    while (this.#watches.size < count) {
      if (Date.now() > deadline) throw new Error(`no watch was opened within ${WAIT_LIMIT_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch.reset();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    await this.#upstream.destroy();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const method = request.method ?? 'GET';
    const path = request.url ?? '/';
    const kind = kindOf(method, path);
    this.calls.push({ kind, method, path });
    const call = new ProxiedCall({ kind, path, request, response }, () =>
      this.#upstream.request({
        origin: this.#access.url,
        path,
        method,
        headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => !HOP_BY_HOP.has(name))),
        body: chunks.length > 0 ? Buffer.concat(chunks) : null,
      }),
    );
    call.onWatch = (watch) => {
      this.#watches.add(watch);
      watch.onClose(() => this.#watches.delete(watch));
    };
    const index = this.#faults.findIndex((fault) => fault.kind === kind);
    const [planned] = index === -1 ? [] : this.#faults.splice(index, 1);
    await (planned ? planned.fault(call) : call.forward());
  }
}

const HOP_BY_HOP = new Set(['host', 'connection', 'content-length', 'transfer-encoding']);

/** One call on its way, and what can be done to it. */
export class ProxiedCall {
  readonly kind: CallKind;
  readonly path: string;
  onWatch: (watch: OpenWatch) => void = () => undefined;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #send: () => Promise<Dispatcher.ResponseData>;

  constructor(
    call: { kind: CallKind; path: string; request: IncomingMessage; response: ServerResponse },
    send: () => Promise<Dispatcher.ResponseData>,
  ) {
    this.kind = call.kind;
    this.path = call.path;
    this.#request = call.request;
    this.#response = call.response;
    this.#send = send;
  }

  async forward(): Promise<void> {
    const answer = await this.#send();
    if (this.kind === 'watch' && answer.statusCode === 200) {
      this.onWatch(new OpenWatch(answer.body, this.#response));
      return;
    }
    const body = Buffer.from(await answer.body.arrayBuffer());
    this.#answer(answer.statusCode, body, answer.headers['retry-after']);
  }

  /** The apiserver carries it out, the client never hears of it. */
  async forwardWithoutAnswer(): Promise<void> {
    const answer = await this.#send();
    await answer.body.dump();
    this.reset();
  }

  refuse(code: number, reason: string, retryAfterSeconds?: number): void {
    const message = `refused by the test with ${code}`;
    const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
    this.#answer(code, JSON.stringify(status), retryAfterSeconds);
  }

  /** RST instead of an answer. */
  reset(): void {
    this.#request.socket.resetAndDestroy();
  }

  #answer(status: number, body: Buffer | string, retryAfter: string | string[] | number | undefined): void {
    this.#response.statusCode = status;
    this.#response.setHeader('content-type', 'application/json');
    if (retryAfter !== undefined) this.#response.setHeader('retry-after', retryAfter);
    this.#response.end(body);
  }
}

function kindOf(method: string, path: string): CallKind {
  if (method !== 'GET') return 'write';
  const url = new URL(path, 'http://proxy');
  if (url.searchParams.has('watch')) return 'watch';
  return /\/namespaces\/[^/]+\/[^/]+\/[^/]+$/.test(url.pathname) ? 'get' : 'list';
}
