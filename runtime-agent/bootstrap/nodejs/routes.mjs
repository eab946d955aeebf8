import { errorAnswer, isJson, parseJson, readBody, sendError, sendJson } from './answers.mjs';
import { CONTRACT_VERSION } from './contract-version.mjs';
import { AgentError } from './errors.mjs';
import { Number, Object, URLSearchParams } from './globals.mjs';
import { parseKillRequest, parseLoadRequest } from './load-request.mjs';

/**
 * @import { IncomingMessage, ServerResponse } from 'node:http'
 * @import { StatusReply } from '@warmpool/protocol/runtime-agent-api.ts'
 */

const LOAD_LIMIT_BYTES = 2 * 1024 * 1024;
const KILL_LIMIT_BYTES = 64 * 1024;

/**
 * @typedef {object} RouteDeps
 * @property {import('./config.mjs').Config} config
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./loader.mjs').Loader} loader
 * @property {import('./invocations.mjs').Invocations} invocations
 * @property {import('./http-app.mjs').HttpApp} app
 * @property {import('./invoke-route.mjs').InvokeRoute} invokeRoute
 * @property {import('./log-ring.mjs').LogRing} logs
 * @property {import('./ending.mjs').Ending} ending
 */
/**
 * @typedef {object} ControlRequest
 * @property {string} method
 * @property {string} path
 * @property {string} query
 * @property {string} contentType
 * @property {(limitBytes: number) => Buffer | Promise<Buffer>} body
 * @property {(answer: Answer) => void} [answerEarly] may be given the answer before the promise of it resolves
 *
 * @typedef {{ statusCode: number, body: unknown, headers?: Record<string, string> }} Answer
 * @typedef {(request: ControlRequest) => Promise<Answer> | Answer} Route
 */

/** The HTTP surface of docs/runtime-contract.md on the unix socket. */
export class Routes {
  #deps;
  /** @type {Record<string, { method: string, route: Route }>} */
  #table = {
    '/v1/load': { method: 'POST', route: (request) => this.#load(request) },
    '/v1/health': { method: 'GET', route: ({ query }) => this.#health(new URLSearchParams(query)) },
    '/v1/status': { method: 'GET', route: ({ query }) => this.#status(new URLSearchParams(query)) },
    '/v1/kill': { method: 'POST', route: (request) => this.#kill(request) },
    '/v1/logs': { method: 'GET', route: ({ query }) => this.#logs(new URLSearchParams(query)) },
  };

  /** @param {RouteDeps} deps */
  constructor(deps) {
    this.#deps = deps;
  }

  /** Every route but `/v1/invoke`. @param {ControlRequest} request @returns {Promise<Answer>} */
  async answer(request) {
    try {
      const { method, path } = request;
      const entry = Object.hasOwn(this.#table, path) ? this.#table[path] : undefined;
      if (entry === undefined) throw new AgentError('RouteNotFound', `there is no route ${path}`);
      if (entry.method !== method) throw wrongMethod(path, method, entry.method);
      return await entry.route(request);
    } catch (error) {
      return errorAnswer(error);
    }
  }

  /** What came by way of `node:http`. @param {IncomingMessage} request @param {ServerResponse} response */
  async serve(request, response) {
    const { url = '', method = '', headers } = request;
    const [path = '', query = ''] = url.split('?', 2);
    if (path === '/v1/invoke') {
      if (method === 'POST') return this.#deps.invokeRoute.serve(request, response, { method: 'POST', path: '/' });
      request.resume();
      return sendError(response, wrongMethod(path, method, 'POST'));
    }
    const contentType = headers['content-type'] ?? '';
    const body = (/** @type {number} */ limitBytes) => readBody(request, limitBytes);
    const answer = await this.answer({ method, path, query, contentType, body });
    if (!request.readableEnded) request.resume();
    sendJson(response, answer.statusCode, answer.body, answer.headers);
  }

  /** @param {ControlRequest} request @returns {Promise<Answer>} */
  async #load(request) {
    const load = parseLoadRequest(await readJson(request, LOAD_LIMIT_BYTES));
    const { answerEarly } = request;
    const body = await this.#deps.loader.load(
      load,
      answerEarly && ((reply) => answerEarly({ statusCode: 200, body: reply })),
    );
    return { statusCode: 200, body };
  }

  /** @param {URLSearchParams} query @returns {Answer} */
  #health(query) {
    const { state, epoch } = this.#deps.lifecycle;
    const isReady = state === 'standby' || state === 'ready' || state === 'busy';
    const body = { contract: CONTRACT_VERSION, state, epoch };
    return { statusCode: query.get('probe') === 'ready' && !isReady ? 503 : 200, body };
  }

  /** @param {URLSearchParams} query @returns {Answer} */
  #status(query) {
    const { config, lifecycle, loader, invocations, app } = this.#deps;
    const load = loader.accepted;
    const traffic = load?.kind === 'http' ? app : invocations;
    const requestId = query.get('requestId');
    let requests = invocations.requests.list();
    if (requestId !== null) {
      const record = invocations.requests.find(requestId);
      if (record === undefined) throw new AgentError('RequestUnknown', `no request ${requestId} is known here`);
      requests = [record];
    }
    /** @type {StatusReply} */
    const status = {
      contract: CONTRACT_VERSION,
      state: lifecycle.state,
      epoch: lifecycle.epoch,
      seq: lifecycle.seq,
      sinceUnixMs: lifecycle.sinceUnixMs,
      ...(load && { claimId: load.claimId, digest: load.code.digest, fence: load.fence, port: config.port }),
      host: config.host,
      runtime: config.runtime,
      pid: process.pid,
      uptimeMs: process.uptime() * 1000,
      inFlight: traffic.inFlight,
      executions: traffic.executions,
      ...(traffic.idleSinceUnixMs === undefined ? {} : { idleSinceUnixMs: traffic.idleSinceUnixMs }),
      rssMiB: process.memoryUsage.rss() / 1024 / 1024,
      ...(lifecycle.lastError && { lastError: lifecycle.lastError }),
      requests,
    };
    return { statusCode: 200, body: status };
  }

  /** @param {ControlRequest} request @returns {Promise<Answer>} */
  async #kill(request) {
    const { requestId, mode, graceMs, reason } = parseKillRequest(await readJson(request, KILL_LIMIT_BYTES));
    const { ending, invocations } = this.#deps;
    if (requestId !== undefined) {
      const { isUnderWay, state } = invocations.kill(requestId, mode, graceMs, reason);
      return { statusCode: isUnderWay ? 202 : 200, body: { requestId, state } };
    }
    if (mode === 'force') ending.discard('Killed', reason === '' ? 'killed by /v1/kill' : `killed: ${reason}`);
    else void ending.drain(graceMs, '/v1/kill');
    return { statusCode: 202, body: { state: mode === 'force' ? 'terminated' : 'draining' } };
  }

  /** @param {URLSearchParams} query @returns {Answer} */
  #logs(query) {
    const limit = query.get('limitBytes');
    const limitBytes = limit === null ? undefined : Number(limit);
    if (limitBytes !== undefined && !(Number.isInteger(limitBytes) && limitBytes >= 0)) {
      const details = [{ field: 'limitBytes', message: 'must be a whole number of bytes' }];
      throw new AgentError('BadRequest', `limitBytes must be a whole number of bytes, not "${limit}"`, { details });
    }
    const body = this.#deps.logs.read({ requestId: query.get('requestId') ?? undefined, limitBytes });
    return { statusCode: 200, body };
  }
}

/** @param {string} path @param {string} method @param {string} allow */
function wrongMethod(path, method, allow) {
  return new AgentError('MethodNotAllowed', `${path} takes ${allow}, not ${method}`, { allow });
}

/** @param {ControlRequest} request @param {number} limitBytes @returns {Promise<unknown>} */
async function readJson({ contentType, body }, limitBytes) {
  if (!isJson(contentType)) {
    throw new AgentError('UnsupportedMediaType', `the content type must be application/json, not "${contentType}"`);
  }
  return parseJson(await body(limitBytes));
}
