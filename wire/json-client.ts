import { Pool, type Dispatcher } from 'undici';

export interface JsonCall {
  method: 'GET' | 'POST' | 'DELETE';
  path: string;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  /** For the whole exchange. */
  timeoutMs: number;
}

export interface JsonAnswer {
  statusCode: number;
  text: string;
}

/** The time for the exchange is over. What was sent may have had its effect. */
export class ExchangeTimeout extends Error {
  override readonly name = 'TimeoutError';

  constructor({ method, path, timeoutMs }: Pick<JsonCall, 'method' | 'path' | 'timeoutMs'>) {
    super(`no answer to ${method} ${path} within ${Math.ceil(timeoutMs)} ms`);
  }
}

/**
 * One request and its whole answer as text. It goes below undici's `request`, which makes a stream and an abort signal for every
 * exchange; those cost more than the exchange itself when the answer is one small JSON object.
 */
export function exchange(dispatcher: Dispatcher, call: JsonCall): Promise<JsonAnswer> {
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  const headers = { ...call.headers, ...(body !== undefined && { 'content-type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const handler = new Collector(resolve, reject, call);
    dispatcher.dispatch({ method: call.method, path: call.path, headers, body: body ?? null }, handler);
  });
}

class Collector implements Dispatcher.DispatchHandler {
  readonly #resolve: (answer: JsonAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #late: Error | undefined;
  #statusCode = 0;
  #chunks: Buffer[] = [];

  constructor(resolve: (answer: JsonAnswer) => void, reject: (error: Error) => void, call: JsonCall) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(
      () => {
        this.#late = new ExchangeTimeout(call);
        this.#controller?.abort(this.#late);
        this.#reject(this.#late);
      },
      Math.max(1, Math.ceil(call.timeoutMs)),
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#late !== undefined) controller.abort(this.#late);
  }

  onResponseStart(_: Dispatcher.DispatchController, statusCode: number): void {
    this.#statusCode = statusCode;
    this.#chunks = [];
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    clearTimeout(this.#timer);
    this.#resolve({ statusCode: this.#statusCode, text: joined(this.#chunks).toString('utf8') });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    clearTimeout(this.#timer);
    this.#reject(error);
  }
}

/** What came in one piece is not copied. */
export function joined(chunks: readonly Buffer[]): Buffer {
  const [first, ...others] = chunks;
  return first !== undefined && others.length === 0 ? first : Buffer.concat(chunks);
}

/** A kept-alive pool on a unix socket (`unix:/path`) or an http(s) origin. */
export function connectPool(endpoint: string, options: Pool.Options): Pool {
  return endpoint.startsWith('unix:')
    ? new Pool('http://localhost', { ...options, socketPath: endpoint.slice('unix:'.length) })
    : new Pool(endpoint, options);
}
