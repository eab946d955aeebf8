import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import type { Random } from '../core/backoff.ts';
import { backoffMs } from '../core/backoff.ts';
import { ifMatchOf, isSameVersion, parseContentRange, versionOf } from '../core/object-version.ts';
import { hostError, isHostError } from '../errors.ts';
import type { OpenedBlob, OpenOptions } from './blob-store.ts';

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

/** One GET, no second try. */
export async function getOnce(
  dispatcher: Dispatcher,
  { url, headers }: HttpTarget,
  { signal, range, version }: OpenOptions,
): Promise<HttpAnswer> {
  const ifMatch = version === undefined ? undefined : ifMatchOf(version);
  return dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: 'GET',
    headers: {
      ...headers,
      ...(range === undefined ? {} : { range: `bytes=${range.startByte}-${range.endByte - 1}` }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    },
    signal,
  });
}

/**
 * GETs until an answer comes that another try would not change: at most {@link MAX_ATTEMPTS} times, on 429, 5xx, timeouts and
 * connections that fail. `target` is asked anew each time, since a signature has a date.
 */
export async function getWithRetries(
  deps: HttpGetDeps,
  endpoint: string,
  target: () => Promise<HttpTarget>,
  options: OpenOptions,
): Promise<HttpAnswer> {
  const { signal } = options;
  for (let attempt = 0; ; attempt++) {
    let why: string;
    let cause: unknown;
    try {
      const answer = await getOnce(deps.dispatcher, await target(), options);
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

/** What is behind a 200, a 206 or a 416; undefined for every other status, whose body is still to be read or discarded. */
export function blobOf(answer: HttpAnswer, endpoint: string, options: OpenOptions): OpenedBlob | undefined {
  const { statusCode, headers } = answer;
  const { range: asked, version: known } = options;
  const version = versionOf(headers);
  if (statusCode === 412 || (statusCode < 300 && known !== undefined && !isSameVersion(known, version))) {
    discard(answer);
    throw hostError.objectChanged(endpoint);
  }
  const stream = readBody(answer, endpoint, options.signal);
  if (statusCode === 200) return { ...declaredSize(headers['content-length']), version, stream };
  if (asked === undefined) return undefined;
  if (statusCode === 416 && asked.startByte === 0) {
    // only an empty object has no first byte
    discard(answer);
    return { sizeBytes: 0, version, stream: noBytes() };
  }
  if (statusCode !== 206) return undefined;
  const range = parseContentRange(headers['content-range']);
  if (range === undefined || range.startByte !== asked.startByte || range.endByte > asked.endByte) {
    discard(answer);
    throw hostError.storeUnreachable(endpoint, 'it answers with another range than it was asked for');
  }
  const { startByte, endByte, sizeBytes } = range;
  return { sizeBytes, range: { startByte, endByte }, version, stream };
}

function declaredSize(header: string | string[] | undefined): { sizeBytes?: number } {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? { sizeBytes: Number(header) } : {};
}

async function* noBytes(): AsyncGenerator<Uint8Array, void, undefined> {}

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
export function describeNetworkError(error: unknown): string {
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
