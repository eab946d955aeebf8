import {
  claimParamsSchema,
  claimRequestSchema,
  poolParamsSchema,
  releaseQuerySchema,
  type Claim,
} from '@warmpool/protocol/claim-api.ts';
import type { PlainAnswer, PlainRequest } from '@warmpool/wire/plain-front.ts';
import { isJson, PlainFront } from '@warmpool/wire/plain-front.ts';
import type { FastifyBaseLogger } from 'fastify';
import type { ClaimQueries } from '../claims/claim-queries.ts';
import type { ClaimService } from '../claims/claim-service.ts';
import { claimError } from '../errors.ts';
import { ACCESS_RULES, type AccessRule, type ClaimAccess } from './claim-access.ts';
import { errorBody, parse, refusal, refusalHeaders } from './errors.ts';

export interface ClaimExchangesDeps {
  claims: ClaimService;
  queries: ClaimQueries;
  log: FastifyBaseLogger;
  /** Who may do what; without it, everybody everything: for loopback only. */
  access?: ClaimAccess | undefined;
  /** True once a shutdown has begun: new claims are refused, running ones end. */
  isDraining(): boolean;
}

const CREATE = /^\/v1\/pools\/([^/]+)\/([^/]+)\/claims$/;
const ONE = /^\/v1\/claims\/([^/]+)\/([^/]+)$/;

/** What a platform asks of claims for every instance: create, get, release. Each parses, calls one thing, and answers. */
export class ClaimExchanges {
  readonly #deps: ClaimExchangesDeps;

  constructor(deps: ClaimExchangesDeps) {
    this.#deps = deps;
  }

  async create(params: unknown, body: unknown, signal: AbortSignal): Promise<PlainAnswer> {
    const { namespace, pool } = parse(poolParamsSchema, params, 'path');
    if (this.#deps.isDraining())
      throw claimError('Draining', 'this operator is shutting down; try again', { retryAfterSeconds: 1 });
    const claim = await this.#deps.claims.claim(namespace, pool, parse(claimRequestSchema, body, 'claim'), signal);
    return { statusCode: 201, body: claim, headers: { 'server-timing': serverTiming(claim) } };
  }

  get(params: unknown): PlainAnswer {
    const { namespace, claimId } = parse(claimParamsSchema, params, 'path');
    return { statusCode: 200, body: this.#deps.queries.get(namespace, claimId) };
  }

  async release(params: unknown, query: unknown): Promise<PlainAnswer> {
    const { namespace, claimId } = parse(claimParamsSchema, params, 'path');
    const { keepWarm } = parse(releaseQuerySchema, query, 'query');
    const keepWarmMs = keepWarm === undefined ? 0 : durationMs(keepWarm);
    return { statusCode: 200, body: await this.#deps.claims.release(namespace, claimId, keepWarmMs) };
  }

  /** The same, on the short way through the server. */
  front(limits: { bodyLimitBytes: number; keepAliveTimeoutMs: number; requestTimeoutMs: number }): PlainFront {
    return new PlainFront({
      ...limits,
      takes: (method, path) => (method === 'POST' ? CREATE : ONE).test(path),
      answer: (request) => this.#answer(request),
      goneReason: () => claimError('ClaimAbandoned', 'the client went away'),
    });
  }

  async #answer(request: PlainRequest): Promise<PlainAnswer> {
    try {
      return await this.#route(request);
    } catch (error) {
      const told = refusal(error, this.#deps.log);
      return { statusCode: told.statusCode, body: errorBody(told), headers: refusalHeaders(told) };
    }
  }

  async #route({ method, path, query, headers, body, signal }: PlainRequest): Promise<PlainAnswer> {
    if (method === 'POST') {
      const [, namespace, pool] = CREATE.exec(path) ?? [];
      await this.#check(headers, ACCESS_RULES.create, namespace);
      return this.create({ namespace, pool }, readJson({ headers, body }), signal);
    }
    const [, namespace, claimId] = ONE.exec(path) ?? [];
    await this.#check(headers, method === 'GET' ? ACCESS_RULES.get : ACCESS_RULES.release, namespace);
    if (method === 'GET') return this.get({ namespace, claimId });
    return this.release({ namespace, claimId }, query === '' ? {} : Object.fromEntries(new URLSearchParams(query)));
  }

  #check(headers: PlainRequest['headers'], rule: AccessRule, namespace: string | undefined): Promise<void> | undefined {
    return this.#deps.access?.check(headers['authorization'], rule, namespace);
  }
}

function readJson({ headers, body }: Pick<PlainRequest, 'headers' | 'body'>): unknown {
  if (!isJson({ headers }))
    throw claimError('UnsupportedMediaType', 'the body must be sent as Content-Type: application/json');
  if (body.length === 0) throw claimError('InvalidJson', 'the body is empty; a JSON object is needed');
  return JSON.parse(body.toString('utf8'));
}

function durationMs(text: string): number {
  const amount = Number.parseInt(text, 10);
  return amount * (text.endsWith('m') ? 60_000 : 1_000);
}

/** https://www.w3.org/TR/server-timing/: durations in milliseconds. */
function serverTiming(claim: Claim): string {
  let text = '';
  for (const [phase, ms] of Object.entries(claim.timings ?? {})) {
    if (ms === undefined) continue;
    text += `${text === '' ? '' : ', '}${phase.slice(0, -2)};dur=${ms.toFixed(3)}`;
  }
  return text;
}
