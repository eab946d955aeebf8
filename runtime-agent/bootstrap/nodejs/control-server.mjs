import net from 'node:net';
import { http } from './builtins.mjs';
import { Buffer, JSON, Number, Set } from './globals.mjs';

/**
 * @import { Server } from 'node:http'
 * @import { Socket } from 'node:net'
 * @import { Answer, ControlRequest } from './routes.mjs'
 * @import { OpenAnswers } from './ending.mjs'
 */

const HEAD_LIMIT_BYTES = 8 * 1024;
const BODY_LIMIT_BYTES = 2 * 1024 * 1024;
const HEAD_END = '\r\n\r\n';
const REQUEST_LINE = /^(GET|POST) (\/v1\/(?:load|health|status|kill|logs))(?:\?([\x21-\x7e]*))? HTTP\/1\.1$/;
const NOT_PLAIN_TEXT = /[^\t\x20-\x7e]/;
/** These change how a message is framed or answered. */
const UNUSUAL_HEADERS = new Set(['transfer-encoding', 'expect', 'upgrade', 'trailer', 'te']);

/**
 * @typedef {object} ControlServerDeps
 * @property {(request: ControlRequest) => Promise<Answer>} answer
 * @property {Server} general takes every connection on which something else comes than the plain exchange
 * @property {OpenAnswers} answers
 */

/**
 * The control socket. The plain JSON exchange that a host-agent makes (complete, with `Content-Length`, on a kept-alive
 * connection) is read and written by hand: in a process that has run little code so far, `node:http` takes half a
 * millisecond more for it, which is a third of a load. A connection with anything else on it, down to a header that is
 * merely unusual, is handed to `node:http` before a byte of that request is used.
 */
export class ControlServer {
  /** @type {Set<Connection>} */
  #connections = new Set();
  #deps;

  /** @param {ControlServerDeps} deps */
  constructor(deps) {
    this.#deps = deps;
    this.server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const connection = new Connection(socket, deps, () => this.#connections.delete(connection));
      this.#connections.add(connection);
    });
  }

  /** @param {string} socketPath @returns {Promise<void>} */
  listen(socketPath) {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(socketPath, resolve);
    });
  }

  close() {
    this.server.close();
    for (const connection of this.#connections) connection.destroy();
    this.#deps.general.closeAllConnections();
  }
}

/** One connection, as long as only plain exchanges come on it: one after the other, in order. */
class Connection {
  #socket;
  #deps;
  #onLeft;
  #received = Buffer.alloc(0);
  #isBusy = false;
  #hasEnded = false;
  #onData = (/** @type {Buffer} */ chunk) => {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    // a client that does not wait for its answers is not read any further
    if (this.#isBusy) this.#socket.pause();
    else this.#next();
  };
  #onEnd = () => {
    this.#hasEnded = true;
    if (!this.#isBusy) this.#socket.end();
  };
  #onError = () => this.#socket.destroy();
  #onClose = () => this.#onLeft();

  /** @param {Socket} socket @param {ControlServerDeps} deps @param {() => void} onLeft */
  constructor(socket, deps, onLeft) {
    this.#socket = socket;
    this.#deps = deps;
    this.#onLeft = onLeft;
    socket.on('data', this.#onData).on('end', this.#onEnd).on('error', this.#onError).on('close', this.#onClose);
  }

  destroy() {
    this.#socket.destroy();
  }

  #next() {
    const headEnd = this.#received.indexOf(HEAD_END);
    if (headEnd < 0) {
      if (this.#received.length > HEAD_LIMIT_BYTES) this.#handOver();
      return;
    }
    const head = parseHead(this.#received.latin1Slice(0, headEnd));
    if (head === undefined) return this.#handOver();
    const bodyStart = headEnd + HEAD_END.length;
    const bodyEnd = bodyStart + head.bodyBytes;
    if (this.#received.length < bodyEnd) return;
    const body = this.#received.subarray(bodyStart, bodyEnd);
    this.#received = this.#received.subarray(bodyEnd);
    this.#isBusy = true;
    const { method, path, query, contentType } = head;
    const sent = this.#deps.answers.begin();
    this.#socket.once('close', sent);
    let isAnswered = false;
    const answerEarly = (/** @type {Answer} */ answer) => {
      if (isAnswered) return;
      isAnswered = true;
      this.#send(answer, sent);
    };
    const request = { method, path, query, contentType, body: () => body, answerEarly };
    void this.#deps.answer(request).then((answer) => {
      answerEarly(answer);
      this.#done();
    });
  }

  /** @param {Answer} answer @param {() => void} sent */
  #send({ statusCode, body, headers }, sent) {
    const json = JSON.stringify(body);
    let head = `HTTP/1.1 ${statusCode} ${http.STATUS_CODES[statusCode]}\r\ncontent-type: application/json\r\n`;
    for (const name in headers) head += `${name}: ${headers[name]}\r\n`;
    this.#socket.write(`${head}content-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`, () => {
      this.#socket.off('close', sent);
      sent();
    });
  }

  #done() {
    this.#isBusy = false;
    if (this.#received.length > 0) this.#next();
    if (this.#isBusy) return;
    if (this.#hasEnded) this.#socket.end();
    else this.#socket.resume();
  }

  #handOver() {
    const socket = this.#socket;
    if (this.#hasEnded) return void socket.end();
    socket.off('data', this.#onData).off('end', this.#onEnd).off('error', this.#onError).off('close', this.#onClose);
    this.#onLeft();
    socket.pause();
    socket.unshift(this.#received);
    this.#deps.general.emit('connection', socket);
    socket.resume();
  }
}

/**
 * `undefined` for whatever is not the plain exchange.
 * @param {string} text
 */
function parseHead(text) {
  const [requestLine = '', ...lines] = text.split('\r\n');
  const [, method = '', path, query = ''] = REQUEST_LINE.exec(requestLine) ?? [];
  if (path === undefined) return undefined;
  /** @type {Record<string, string>} */
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const isPlainName = colon > 0 && !/\s/.test(name) && !(name in headers) && !UNUSUAL_HEADERS.has(name);
    if (!isPlainName || NOT_PLAIN_TEXT.test(line)) return undefined;
    headers[name] = line.slice(colon + 1).trim();
  }
  const { host, connection = 'keep-alive', 'content-length': length = method === 'GET' ? '0' : '' } = headers;
  const isPlain = host !== undefined && connection.toLowerCase() === 'keep-alive' && /^\d{1,7}$/.test(length);
  const bodyBytes = Number(length);
  if (!isPlain || bodyBytes > BODY_LIMIT_BYTES || (method === 'GET' && bodyBytes > 0)) return undefined;
  return { method, path, query, contentType: headers['content-type'] ?? '', bodyBytes };
}
