import { readJson, sendError, sendJson } from './answers.mjs';
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
/** @typedef {(request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => Promise<void> | void} Route */

/** The HTTP surface of docs/runtime-contract.md on the unix socket. */
export class Routes {
  #deps;
  /** @type {Record<string, { method: string, route: Route }>} */
  #table;

  /** @param {RouteDeps} deps */
  constructor(deps) {
    this.#deps = deps;
    this.#table = {
      '/v1/load': { method: 'POST', route: (request, response) => this.#load(request, response) },
      '/v1/invoke': {
        method: 'POST',
        route: (request, response) => deps.invokeRoute.serve(request, response, { method: 'POST', path: '/' }),
      },
      '/v1/health': { method: 'GET', route: (_, response, query) => this.#health(response, query) },
      '/v1/status': { method: 'GET', route: (_, response, query) => this.#status(response, query) },
      '/v1/kill': { method: 'POST', route: (request, response) => this.#kill(request, response) },
      '/v1/logs': { method: 'GET', route: (_, response, query) => this.#logs(response, query) },
    };
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response */
  async serve(request, response) {
    try {
      const [path = '', query = ''] = (request.url ?? '').split('?', 2);
      const entry = Object.hasOwn(this.#table, path) ? this.#table[path] : undefined;
      if (entry === undefined) throw new AgentError('RouteNotFound', `there is no route ${path}`);
      if (entry.method !== request.method) {
        const error = new AgentError('MethodNotAllowed', `${path} takes ${entry.method}, not ${request.method}`);
        request.resume();
        return sendError(response, error, { allow: entry.method });
      }
      await entry.route(request, response, new URLSearchParams(query));
    } catch (error) {
      if (!request.readableEnded) request.resume();
      sendError(response, error);
    }
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response */
  async #load(request, response) {
    const body = parseLoadRequest(await readJson(request, LOAD_LIMIT_BYTES));
    sendJson(response, 200, await this.#deps.loader.load(body));
  }

  /** @param {ServerResponse} response @param {URLSearchParams} query */
  #health(response, query) {
    const { state, epoch } = this.#deps.lifecycle;
    const isReady = state === 'standby' || state === 'ready' || state === 'busy';
    sendJson(response, query.get('probe') === 'ready' && !isReady ? 503 : 200, {
      contract: CONTRACT_VERSION,
      state,
      epoch,
    });
  }

  /** @param {ServerResponse} response @param {URLSearchParams} query */
  #status(response, query) {
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
    sendJson(response, 200, status);
  }

  /** @param {IncomingMessage} request @param {ServerResponse} response */
  async #kill(request, response) {
    const { requestId, mode, graceMs, reason } = parseKillRequest(await readJson(request, KILL_LIMIT_BYTES));
    const { ending, invocations } = this.#deps;
    if (requestId !== undefined) {
      const { isUnderWay, state } = invocations.kill(requestId, mode, graceMs, reason);
      return sendJson(response, isUnderWay ? 202 : 200, { requestId, state });
    }
    sendJson(response, 202, { state: mode === 'force' ? 'terminated' : 'draining' });
    if (mode === 'force') ending.discard('Killed', reason === '' ? 'killed by /v1/kill' : `killed: ${reason}`);
    else void ending.drain(graceMs, '/v1/kill');
  }

  /** @param {ServerResponse} response @param {URLSearchParams} query */
  #logs(response, query) {
    const limit = query.get('limitBytes');
    const limitBytes = limit === null ? undefined : Number(limit);
    if (limitBytes !== undefined && !(Number.isInteger(limitBytes) && limitBytes >= 0)) {
      const details = [{ field: 'limitBytes', message: 'must be a whole number of bytes' }];
      throw new AgentError('BadRequest', `limitBytes must be a whole number of bytes, not "${limit}"`, { details });
    }
    sendJson(response, 200, this.#deps.logs.read({ requestId: query.get('requestId') ?? undefined, limitBytes }));
  }
}
