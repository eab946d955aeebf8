import { isJson, parseJson } from './answers.mjs';
import { JSON, Number, Object, Symbol, TypeError, Uint8Array } from './globals.mjs';

/** @import { OutgoingHttpHeaders } from 'node:http' */

/** @typedef {{ statusCode: number, headers: OutgoingHttpHeaders, body: Uint8Array | string }} EncodedResult */
/** @typedef {{ statusCode: number, headers: OutgoingHttpHeaders, source: import('./result-stream.mjs').Source }} EncodedStream */

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
 * What the handler returned, if it is a stream or has one as its body.
 * @param {unknown} result @returns {EncodedStream | undefined}
 */
export function encodeStream(result) {
  if (typeof result !== 'object' || result === null) return undefined;
  const type = { 'content-type': 'application/octet-stream' };
  if (isStream(result)) return { statusCode: 200, headers: type, source: result };
  if (!isHttpResult(result) || !isStream(result.body)) return undefined;
  const statusCode = checkedStatus(result.statusCode);
  return { statusCode, headers: { ...type, ...lowerCaseNames(result.headers) }, source: result.body };
}

/** @param {unknown} piece @returns {Uint8Array | string} */
export function encodePiece(piece) {
  if (typeof piece === 'string' || piece instanceof Uint8Array) return piece;
  throw new TypeError(`streamed a ${typeof piece}, which is neither a string nor bytes`);
}

/** Iterators of both kinds and what Node and the web call streams; arrays and other collections are values. @param {unknown} value @returns {value is AsyncIterable<unknown> | Iterable<unknown>} */
function isStream(value) {
  if (typeof value !== 'object' || value === null) return false;
  if (Symbol.asyncIterator in value) return true;
  return Symbol.iterator in value && typeof (/** @type {{ next?: unknown }} */ (value).next) === 'function';
}

/**
 * What the handler returned, as an answer. Throws a sentence when it cannot be one.
 * @param {unknown} result @returns {EncodedResult}
 */
export function encodeResult(result) {
  if (result === undefined || result === null) return { statusCode: 204, headers: {}, body: '' };
  if (isHttpResult(result)) {
    const statusCode = checkedStatus(result.statusCode);
    const encoded = encodeBody(result.body);
    return { statusCode, headers: { ...encoded.headers, ...lowerCaseNames(result.headers) }, body: encoded.body };
  }
  return { statusCode: 200, ...encodeBody(result) };
}

/** @param {number} statusCode */
function checkedStatus(statusCode) {
  if (statusCode >= 200 && statusCode <= 599) return statusCode;
  throw new TypeError(`returned the status ${statusCode}, which is not 200 to 599`);
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
