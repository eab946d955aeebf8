import { isDeepStrictEqual } from 'node:util';
import type { DispatcherOptions } from '@kubernetes/client-node';
import type { Dispatcher } from 'undici';
import type { Clock } from '../engine/clock.ts';
import type { PooledKubeConfig } from './config.ts';

/** What one request needs. Headers are shared between calls: never changed once made. */
export interface Access {
  readonly origin: string;
  /** Non-empty when the apiserver is behind a path of another server. */
  readonly pathPrefix: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly dispatcher: Dispatcher;
}

export interface CredentialsDeps {
  clock: Clock;
  /** Called at the start and after a 401, so that replaced token and CA files are seen. */
  loadConfig: () => PooledKubeConfig;
  connect: (options: DispatcherOptions) => Dispatcher;
}

/** client-node refreshes token files no more often than this either. */
const REFRESH_MS = 60_000;

/**
 * Auth headers and the connection pool, kept in memory: client-node reads the CA and token files synchronously on every request and
 * would make a new connection for each. A refresh never holds up a call; only the first call and one that got a 401 wait for it.
 */
export class Credentials {
  readonly #deps: CredentialsDeps;
  #config: PooledKubeConfig | undefined;
  #access: Access | undefined;
  #connectOptions: DispatcherOptions | undefined;
  #readAtMs = -Infinity;
  #reading: Promise<Access> | undefined;

  constructor(deps: CredentialsDeps) {
    this.#deps = deps;
  }

  current(): Access | Promise<Access> {
    if (this.#access === undefined) return this.#read();
    if (this.#deps.clock.monotonic() - this.#readAtMs > REFRESH_MS) {
      // What was read before stays in use until this succeeds; a 401 would tell that it must not.
      this.#read().catch(() => undefined);
    }
    return this.#access;
  }

  /** After a 401: reads everything anew, unless another call has done so since `refused` was handed out. */
  async renewed(refused: Access): Promise<Access> {
    if (this.#access !== undefined && this.#access.headers !== refused.headers) return this.#access;
    this.#config = undefined;
    return this.#read();
  }

  async close(): Promise<void> {
    await this.#access?.dispatcher.destroy();
  }

  #read(): Promise<Access> {
    this.#reading ??= this.#readOnce().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #readOnce(): Promise<Access> {
    this.#readAtMs = this.#deps.clock.monotonic();
    this.#config ??= this.#deps.loadConfig();
    const { url, headers, connect } = await this.#config.security();
    const isSamePool = this.#access !== undefined && isDeepStrictEqual(connect, this.#connectOptions);
    const dispatcher = isSamePool && this.#access ? this.#access.dispatcher : this.#deps.connect(connect);
    // Calls under way on the old pool finish there.
    if (!isSamePool) this.#access?.dispatcher.close().catch(() => undefined);
    this.#connectOptions = connect;
    this.#access = { origin: url.origin, pathPrefix: url.pathname.replace(/\/$/, ''), headers, dispatcher };
    return this.#access;
  }
}
