import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import type { Random } from '../core/backoff.ts';
import { backoffMs } from '../core/backoff.ts';
import { hostError, isHostError } from '../errors.ts';
import type { OpenedBlob } from './blob-store.ts';

const MAX_ATTEMPTS = 3;
const RETRY_BASE_MS = 50;
const RETRY_LIMIT_MS = 1_000;

export interface HttpGetDeps {
  dispatcher: Dispatcher;
  clock: Clock;
  random: Random;
}

export interface HttpTarget {
  url: URL;
  headers: Record<string, string>;
}

export type HttpAnswer = Dispatcher.ResponseData;

/**
 * GETs until an answer comes that another try would not change: at most {@link MAX_ATTEMPTS} times, on 429, 5xx, timeouts and
 * connections that fail. `target` is asked anew each time, since a signature has a date.
 */
export async function getWithRetries(
  deps: HttpGetDeps,
  endpoint: string,
  target: () => Promise<HttpTarget>,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  for (let attempt = 0; ; attempt++) {
    let why: string;
    let cause: unknown;
    try {
      const { url, headers } = await target();
      const answer = await deps.dispatcher.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers,
        signal,
      });
      if (answer.statusCode !== 429 && answer.statusCode < 500) return answer;
      discard(answer);
      why = `it answers ${answer.statusCode}`;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (isHostError(error)) throw error;
      why = describeNetworkError(error);
      cause = error;
    }
    if (attempt + 1 >= MAX_ATTEMPTS)
      throw hostError.storeUnreachable(endpoint, `${why} (${MAX_ATTEMPTS} tries)`, cause);
    await deps.clock.sleep(backoffMs(attempt, RETRY_BASE_MS, RETRY_LIMIT_MS, deps.random), signal);
  }
}

/** An answer whose body nobody reads must not hold its connection. */
export function discard(answer: HttpAnswer): void {
  answer.body.on('error', () => {});
  answer.body.destroy();
}

export function blobOf(answer: HttpAnswer, endpoint: string, signal: AbortSignal): OpenedBlob {
  const header = answer.headers['content-length'];
  const sizeBytes = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
  return { ...(sizeBytes === undefined ? {} : { sizeBytes }), stream: readBody(answer, endpoint, signal) };
}

async function* readBody(
  answer: HttpAnswer,
  endpoint: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* answer.body as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw hostError.storeUnreachable(endpoint, `the transfer broke off: ${describeNetworkError(error)}`, error);
  }
}

/** By code only: messages of network errors may hold the URL with its query. */
function describeNetworkError(error: unknown): string {
  const { code, errors } = error as NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] };
  switch (code ?? errors?.[0]?.code ?? '') {
    case 'ECONNREFUSED':
      return 'the connection is refused';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'its name cannot be resolved';
    case 'UND_ERR_CONNECT_TIMEOUT':
      return 'connecting takes too long';
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'it stopped answering';
    default:
      return `the connection failed (${code ?? (error as Error).name})`;
  }
}
