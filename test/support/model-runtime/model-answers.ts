import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** An error answer of the model. */
export class Refusal extends Error {
  readonly status: number;
  readonly code: string;
  readonly facts: Record<string, unknown>;

  constructor(status: number, code: string, message: string, facts: Record<string, unknown> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.facts = facts;
  }
}

export const badField = (field: string, message: string): Refusal =>
  new Refusal(400, 'BadRequest', `${field}: ${message}`, { details: [{ field, message }] });

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
  contentType = 'application/json',
): void {
  response.writeHead(status, { 'content-type': contentType, ...headers });
  response.end(JSON.stringify(body));
}

export function sendRefusal(
  response: ServerResponse,
  thrown: unknown,
  headers: Record<string, string>,
  breaks: (rule: string) => boolean,
): void {
  if (response.headersSent) return void response.destroy();
  const refusal = thrown instanceof Refusal ? thrown : new Refusal(500, 'Internal', String(thrown));
  const { status, code, message, facts } = refusal;
  const { allow, ...told } = facts as { retryAfterSeconds?: number; allow?: string };
  const { retryAfterSeconds } = told;
  const error = breaks('HTTP-3') ? {} : { error: STATUS_CODES[status] };
  const body = { statusCode: status, code, ...error, message, ...told };
  sendJson(response, status, body, {
    ...headers,
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    ...(allow !== undefined && { allow }),
  });
}

export async function readBody(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes <= limitBytes) chunks.push(chunk);
  }
  if (sizeBytes > limitBytes) throw new Refusal(413, 'BodyTooLarge', `the body is larger than ${limitBytes} bytes`);
  return Buffer.concat(chunks);
}

export const isJson = (contentType: string): boolean => /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType);

export function parseJson(bytes: Buffer, code = 'BadJson'): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new Refusal(400, code, 'the body is not JSON');
  }
}
