import { crypto } from './builtins.mjs';
import { readBody, sendError } from './answers.mjs';
import { AgentError } from './errors.mjs';
import { decodeEvent } from './event-codec.mjs';
import { SHAPES } from './field-checks.mjs';
import { Buffer, Number, Object, Promise, URLSearchParams } from './globals.mjs';
import { describeUserError } from './user-error.mjs';

/**
 * @import { IncomingMessage, ServerResponse } from 'node:http'
 * @import { Invocations } from './invocations.mjs'
 */

const BODY_LIMIT_BYTES = 6 * 1024 * 1024;

/** One request for the handler, from the served port or from `/v1/invoke`. */
export class InvokeRoute {
  #isFirst = true;
  #invocations;

  /** @param {Invocations} invocations */
  constructor(invocations) {
    this.#invocations = invocations;
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response @param {{ method: string, path: string }} [as] */
  async serve(request, response, as) {
    /** @type {Record<string, string>} */
    const headers = {};
    try {
      const id = requestIdOf(request);
      headers['x-request-id'] = id;
      const callerDeadlineUnixMs = deadlineOf(request);
      this.#invocations.admit(id);
      const body = await readBody(request, BODY_LIMIT_BYTES);
      const event = decodeEvent(request.headers['content-type'] ?? '', body);
      const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
      const http = {
        method: as?.method ?? request.method ?? 'GET',
        path: as?.path ?? path,
        query: Object.fromEntries(new URLSearchParams(query)),
        headers: request.headers,
      };
      headers['x-start-type'] = this.#isFirst ? 'standby' : 'warm';
      this.#isFirst = false;
      const outcome = await this.#invocations.submit({ id, event, sizeBytes: body.length, callerDeadlineUnixMs, http });
      const { queueMs, handlerMs } = outcome;
      headers['server-timing'] = `queue;dur=${queueMs.toFixed(2)}, handler;dur=${handlerMs.toFixed(2)}`;
      if ('pieces' in outcome.result) await sendStream(response, outcome.result, headers);
      else sendResult(response, outcome.result, headers);
    } catch (error) {
      if (!request.readableEnded) request.resume();
      sendError(response, error, headers);
    }
  }
}

/**
 * @param {ServerResponse} response @param {import('./event-codec.mjs').EncodedResult} result
 * @param {Record<string, string>} agentHeaders
 */
function sendResult(response, result, agentHeaders) {
  const { statusCode, body } = result;
  const { 'transfer-encoding': _, connection: __, ...headers } = result.headers;
  try {
    const hasBody = statusCode !== 204 && statusCode !== 304;
    const length = hasBody ? { 'content-length': Buffer.byteLength(body) } : {};
    response.writeHead(statusCode, { ...headers, ...length, ...agentHeaders });
    response.end(hasBody ? body : undefined);
  } catch (error) {
    const { message } = describeUserError(error);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    throw new AgentError('UserError', `the handler's headers cannot be sent: ${message}`, { phase: 'invoke' });
  }
}

/**
 * A stream that fails, or whose client is slow for too long, ends with the connection: half of it must not pass for the whole.
 * @param {ServerResponse} response @param {import('./invocation.mjs').StreamResult} result
 * @param {Record<string, string>} agentHeaders
 */
async function sendStream(response, { statusCode, headers: own, pieces }, agentHeaders) {
  const { 'transfer-encoding': _, connection: __, 'content-length': ___, ...headers } = own;
  const isGone = new Promise((resolve) => response.once('close', () => resolve(undefined)));
  try {
    response.writeHead(statusCode, { ...headers, ...agentHeaders });
    response.flushHeaders();
    for await (const piece of pieces) {
      if (response.destroyed) break;
      if (!response.write(piece)) {
        await Promise.race([isGone, new Promise((resolve) => response.once('drain', () => resolve(undefined)))]);
      }
    }
    response.end();
  } catch {
    response.destroy();
  }
}

/** @param {IncomingMessage} request */
function requestIdOf(request) {
  const id = request.headers['x-request-id'];
  if (id === undefined) return crypto.randomUUID();
  const { pattern, rule } = SHAPES.requestId;
  if (typeof id === 'string' && pattern.test(id)) return id;
  throw new AgentError('BadRequest', `the header X-Request-Id ${rule}`, {
    details: [{ field: 'X-Request-Id', message: rule }],
  });
}

/** @param {IncomingMessage} request */
function deadlineOf(request) {
  const text = request.headers['x-deadline-ms'];
  if (text === undefined) return Infinity;
  const deadline = Number(text);
  if (Number.isFinite(deadline) && deadline > 0) return deadline;
  const rule = 'must be a time in Unix milliseconds';
  throw new AgentError('BadRequest', `the header X-Deadline-Ms ${rule}`, {
    details: [{ field: 'X-Deadline-Ms', message: rule }],
  });
}
