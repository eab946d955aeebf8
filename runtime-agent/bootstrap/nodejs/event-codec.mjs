import { isJson, parseJson } from './answers.mjs';

/** @import { OutgoingHttpHeaders } from 'node:http' */

/** @typedef {{ statusCode: number, headers: OutgoingHttpHeaders, body: Uint8Array | string }} EncodedResult */

/**
 * What the handler is called with.
 * @param {string} contentType @param {Buffer} body @returns {unknown}
 */
export function decodeEvent(contentType, body) {
  if (body.length === 0) return {};
  if (isJson(contentType)) return parseJson(body);
  if (/^text\//i.test(contentType)) return body.toString('utf8');
  return body;
}

/**
 * What the handler returned, as an answer. Throws a sentence when it cannot be one.
 * @param {unknown} result @returns {EncodedResult}
 */
export function encodeResult(result) {
  if (result === undefined || result === null) return { statusCode: 204, headers: {}, body: '' };
  if (isHttpResult(result)) {
    const { statusCode } = result;
    if (statusCode < 200 || statusCode > 599)
      throw new TypeError(`returned the status ${statusCode}, which is not 200 to 599`);
    const encoded = encodeBody(result.body);
    return { statusCode, headers: { ...encoded.headers, ...lowerCaseNames(result.headers) }, body: encoded.body };
  }
  return { statusCode: 200, ...encodeBody(result) };
}

/** @param {unknown} value */
function encodeBody(value) {
  if (value === undefined || value === null) return { headers: {}, body: '' };
  if (typeof value === 'string') return { headers: { 'content-type': 'text/plain; charset=utf-8' }, body: value };
  if (value instanceof Uint8Array) return { headers: { 'content-type': 'application/octet-stream' }, body: value };
  const body = /** @type {string | undefined} */ (JSON.stringify(value));
  if (body === undefined) throw new TypeError(`returned a ${typeof value}, which cannot be sent`);
  return { headers: { 'content-type': 'application/json' }, body };
}

/** @param {unknown} headers @returns {OutgoingHttpHeaders} */
function lowerCaseNames(headers) {
  if (typeof headers !== 'object' || headers === null) return {};
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** @param {object} result @returns {result is { statusCode: number, headers?: unknown, body?: unknown }} */
function isHttpResult(result) {
  return typeof result === 'object' && Number.isInteger(/** @type {{ statusCode?: unknown }} */ (result).statusCode);
}
