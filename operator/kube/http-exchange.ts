import type { Dispatcher } from 'undici';
import type { Clock } from '../engine/clock.ts';
import { KubeError, type Resource } from '../engine/kube-client.ts';
import type { Access, Credentials } from './credentials.ts';
import { errorFromAnswer, networkError } from './status-error.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'patch' | 'patchStatus' | 'patchResize' | 'delete';

export interface ObservedCall {
  method: Verb;
  resource: string;
  /** HTTP status; 0 when no answer came. */
  status: number;
  /** Until the whole answer was there; for a watch, until it began. */
  seconds: number;
}

export interface HttpCall {
  verb: Verb;
  resource: Resource;
  /** Below the server's path prefix, with its query. */
  path: string;
  body?: string;
  contentType?: string;
}

export interface HttpExchangeDeps {
  clock: Clock;
  credentials: Credentials;
  observe?: ((call: ObservedCall) => void) | undefined;
}

const METHODS: Readonly<Record<Verb, Dispatcher.HttpMethod>> = {
  get: 'GET',
  list: 'GET',
  watch: 'GET',
  create: 'POST',
  patch: 'PATCH',
  patchStatus: 'PATCH',
  patchResize: 'PATCH',
  delete: 'DELETE',
};

/** `warmpool` also becomes the field manager of what is written. */
const USER_AGENT = 'warmpool/0.1.0';

/** Sends one request and gives back its answer, or throws a {@link KubeError}. Sends it again only after a 401: that one was not let in. */
export class HttpExchange {
  readonly #deps: HttpExchangeDeps;

  constructor(deps: HttpExchangeDeps) {
    this.#deps = deps;
  }

  async json(call: HttpCall, signal: AbortSignal): Promise<unknown> {
    return this.#authenticated(call, signal, async (answer) => {
      const text = await answer.body.text();
      if (answer.statusCode >= 400) throw errorFromAnswer(answer.statusCode, text, answer.headers['retry-after']);
      return JSON.parse(text) as unknown;
    });
  }

  /** The body as it comes. Whoever gets it destroys it. */
  async stream(call: HttpCall, signal: AbortSignal): Promise<Dispatcher.ResponseData['body']> {
    return this.#authenticated(call, signal, async ({ statusCode, headers, body }) => {
      if (statusCode >= 400) throw errorFromAnswer(statusCode, await body.text(), headers['retry-after']);
      return body;
    });
  }

  async #authenticated<T>(
    call: HttpCall,
    signal: AbortSignal,
    read: (answer: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T> {
    try {
      const access = await this.#deps.credentials.current();
      try {
        return await this.#once(access, call, signal, read);
      } catch (error) {
        if (!(error instanceof KubeError && error.status === 401)) throw error;
        return await this.#once(await this.#deps.credentials.renewed(access), call, signal, read);
      }
    } catch (error) {
      // The abort's reason says more than the way in which the connection then broke.
      throw signal.aborted ? networkError(signal.reason) : networkError(error);
    }
  }

  async #once<T>(
    access: Access,
    call: HttpCall,
    signal: AbortSignal,
    read: (answer: Dispatcher.ResponseData) => Promise<T>,
  ): Promise<T> {
    const { clock, observe } = this.#deps;
    const startMs = clock.monotonic();
    let status = 0;
    try {
      const answer = await access.dispatcher.request({
        origin: access.origin,
        path: `${access.pathPrefix}${call.path}`,
        method: METHODS[call.verb],
        headers: {
          ...access.headers,
          accept: 'application/json',
          'user-agent': USER_AGENT,
          ...(call.body !== undefined && { 'content-type': call.contentType ?? 'application/json' }),
        },
        body: call.body ?? null,
        signal,
      });
      const result = await read(answer);
      status = answer.statusCode;
      return result;
    } catch (error) {
      if (error instanceof KubeError) status = error.status;
      throw error;
    } finally {
      observe?.({
        method: call.verb,
        resource: call.resource.plural,
        status,
        seconds: (clock.monotonic() - startMs) / 1000,
      });
    }
  }
}
