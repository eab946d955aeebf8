import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dispatcher } from 'undici';
import { connectPool, exchange, type JsonAnswer } from '@warmpool/wire/json-client.ts';
import type { Clock } from '../clock.ts';
import { backoffMs, type Random } from '../core/backoff.ts';

/** As the operator does: the kubelet replaces the token long before it ends. */
const REREAD_MS = 60_000;
const CONNECTIONS = 4;
const CONNECT_TIMEOUT_MS = 2_000;
const CALL_TIMEOUT_MS = 3_000;
const MAX_ATTEMPTS = 3;
const RETRY_BASE_MS = 100;
const RETRY_LIMIT_MS = 1_000;

export interface ApiserverDeps {
  clock: Clock;
  random: Random;
}

export interface ApiserverOptions {
  url: URL;
  /** Holds `token` and `ca.crt`, replaced in place. */
  serviceAccountDir: string;
}

interface Access {
  token: string;
  ca: string;
  dispatcher: Dispatcher;
  readAtMs: number;
}

/** The apiserver, as far as a host-agent needs it: one GET, as its own service account. */
export class Apiserver {
  readonly #deps: ApiserverDeps;
  readonly #options: ApiserverOptions;
  #access: Access | undefined;

  constructor(deps: ApiserverDeps, options: ApiserverOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /**
   * The answer, whatever its status; asked again after 429, 5xx and broken connections, {@link MAX_ATTEMPTS} times in all, and once with a
   * newly read token after a 401. Rejects when no answer comes, or the files of the service account cannot be read.
   */
  async get(path: string): Promise<JsonAnswer> {
    for (let attempt = 0; ; attempt++) {
      const isLast = attempt + 1 >= MAX_ATTEMPTS;
      try {
        const answer = await this.#authenticated(path);
        if (isLast || (answer.statusCode !== 429 && answer.statusCode < 500)) return answer;
      } catch (error) {
        if (isLast) throw error;
      }
      await this.#deps.clock.sleep(backoffMs(attempt, RETRY_BASE_MS, RETRY_LIMIT_MS, this.#deps.random));
    }
  }

  async close(): Promise<void> {
    await this.#access?.dispatcher.destroy();
  }

  async #authenticated(path: string): Promise<JsonAnswer> {
    const access = await this.#current();
    const answer = await this.#send(access, path);
    if (answer.statusCode !== 401) return answer;
    return this.#send(await this.#read(), path);
  }

  #send({ dispatcher, token }: Access, path: string): Promise<JsonAnswer> {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
    return exchange(dispatcher, { method: 'GET', path, headers, timeoutMs: CALL_TIMEOUT_MS });
  }

  async #current(): Promise<Access> {
    const known = this.#access;
    if (known !== undefined && this.#deps.clock.monotonic() - known.readAtMs < REREAD_MS) return known;
    return this.#read();
  }

  async #read(): Promise<Access> {
    const { url, serviceAccountDir: folder } = this.#options;
    const readAtMs = this.#deps.clock.monotonic();
    const token = (await readFile(join(folder, 'token'), 'utf8')).trim();
    const ca = url.protocol === 'https:' ? await readFile(join(folder, 'ca.crt'), 'utf8') : '';
    if (url.protocol === 'https:' && ca.trim() === '') throw new Error(`${join(folder, 'ca.crt')} is empty`);
    const known = this.#access;
    const isSame = known?.ca === ca;
    // calls under way on the old connections end there
    if (!isSame) known?.dispatcher.close().catch(() => {});
    const dispatcher = known !== undefined && isSame ? known.dispatcher : this.#connect(ca);
    this.#access = { token, ca, dispatcher, readAtMs };
    return this.#access;
  }

  #connect(ca: string): Dispatcher {
    return connectPool(this.#options.url.origin, {
      connections: CONNECTIONS,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(ca === '' ? {} : { ca }) },
    });
  }
}
