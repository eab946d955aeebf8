import { asAgentError, AgentError } from './errors.mjs';
import { Buffer, clearTimeout, JSON, Math, Number, Promise, setTimeout, String } from './globals.mjs';

/** @import { IncomingMessage, ServerResponse } from 'node:http' */

const OVERSIZED_DRAIN_MS = 10_000;

/**
 * @param {ServerResponse} response @param {number} statusCode @param {unknown} body
 * @param {Record<string, string>} [headers]
 */
export function sendJson(response, statusCode, body, headers = {}) {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(statusCode, { ...headers, 'content-type': 'application/json', 'content-length': bytes.length });
  response.end(bytes);
}

/** @param {ServerResponse} response @param {unknown} thrown @param {Record<string, string>} [headers] */
export function sendError(response, thrown, headers = {}) {
  if (response.headersSent) return void response.destroy();
  const answer = errorAnswer(thrown);
  sendJson(response, answer.statusCode, answer.body, { ...headers, ...answer.headers });
}

/** @param {unknown} thrown */
export function errorAnswer(thrown) {
  const error = asAgentError(thrown);
  const { retryAfterSeconds, allow } = error.facts;
  /** @type {Record<string, string>} */
  const headers = {};
  if (retryAfterSeconds !== undefined) headers['retry-after'] = String(Math.ceil(retryAfterSeconds));
  if (allow !== undefined) headers['allow'] = allow;
  return { statusCode: error.statusCode, body: error.toBody(), headers };
}

/**
 * The whole body. What is too large is thrown away before it is refused: a client that is still writing when the connection closes
 * would not get to read the answer.
 * @param {IncomingMessage} request @param {number} limitBytes
 * @returns {Promise<Buffer>}
 */
export function readBody(request, limitBytes) {
  return new Promise((resolve, reject) => {
    /** @type {Buffer[]} */
    const chunks = [];
    let sizeBytes = Number(request.headers['content-length'] ?? 0) > limitBytes ? Infinity : 0;
    const refuse = () => reject(new AgentError('BodyTooLarge', `the body is larger than ${limitBytes} bytes`));
    const timer = setTimeout(() => {
      if (sizeBytes <= limitBytes) return;
      refuse();
      setTimeout(() => request.destroy(), OVERSIZED_DRAIN_MS).unref();
    }, OVERSIZED_DRAIN_MS).unref();
    request.on('data', (/** @type {Buffer} */ chunk) => {
      sizeBytes += chunk.length;
      if (sizeBytes <= limitBytes) chunks.push(chunk);
      else chunks.length = 0;
    });
    request.once('end', () => (sizeBytes > limitBytes ? refuse() : resolve(Buffer.concat(chunks))));
    request.once('error', reject);
    request.once('close', () => {
      clearTimeout(timer);
      reject(new AgentError('BadRequest', 'the connection closed before the body was complete'));
    });
  });
}

/** @param {Buffer} body @returns {unknown} */
export function parseJson(body) {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw new AgentError('BadJson', `the body is not valid JSON: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {string} contentType */
export function isJson(contentType) {
  return /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType);
}
