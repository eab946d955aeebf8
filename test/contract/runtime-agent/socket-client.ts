import http from 'node:http';

export interface Answer {
  statusCode: number;
  headers: http.IncomingHttpHeaders;
  bytes: Buffer;
  /** The body parsed, or undefined when it is not JSON. */
  json: unknown;
}

export type Address = { socketPath: string } | { host: string; port: number };

export interface Outgoing {
  method?: string;
  path: string;
  /** An object is sent as JSON, text and bytes as they are. */
  body?: unknown;
  headers?: Record<string, string>;
  timeoutMs?: number;
}

const ANSWER_TIMEOUT_MS = 20_000;

/** One request on a connection of its own. Rejects when the connection ends without an answer. */
export function send(
  address: Address,
  { method = 'POST', path, body, headers = {}, timeoutMs }: Outgoing,
): Promise<Answer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const payload = body === undefined || isRaw ? body : JSON.stringify(body);
  const contentType = body === undefined || isRaw ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const options = { ...address, agent: false, method, path, headers: { ...contentType, ...headers } };
    const request = http.request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({ statusCode: response.statusCode ?? 0, headers: response.headers, bytes, json: parsed(bytes) });
      });
    });
    const limitMs = timeoutMs ?? ANSWER_TIMEOUT_MS;
    request.setTimeout(limitMs, () =>
      request.destroy(new Error(`no answer to ${method} ${path} within ${limitMs} ms`)),
    );
    request.once('error', reject);
    request.end(payload);
  });
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
