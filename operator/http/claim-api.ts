import {
  claimParamsSchema,
  claimRequestSchema,
  killRequestSchema,
  listClaimsQuerySchema,
  logsQuerySchema,
  poolParamsSchema,
  releaseQuerySchema,
  type Claim,
  type PoolSummary,
} from '@warmpool/protocol/claim-api.ts';
import Fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import type { ClaimQueries } from '../claims/claim-queries.ts';
import type { ClaimService } from '../claims/claim-service.ts';
import { ClaimError, claimError } from '../errors.ts';
import { requireAccess, type ClaimAccess } from './claim-access.ts';
import { streamClaims } from './claim-events.ts';
import { answerErrors, parse } from './errors.ts';

export interface ClaimApiDeps {
  claims: ClaimService;
  queries: ClaimQueries;
  log: FastifyBaseLogger;
  /** Who may do what; without it, everybody everything: for loopback only. */
  access?: ClaimAccess | undefined;
  /** True once a shutdown has begun: new claims are refused, running ones end. */
  isDraining(): boolean;
}

/** A claim's env may be 256 KiB; JSON escapes can double that. */
const BODY_LIMIT_BYTES = 1024 * 1024;

/** The claim API over HTTP. Every route parses, calls one thing, and answers. */
export function createClaimApi(deps: ClaimApiDeps): FastifyInstance {
  const app = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT_BYTES,
    keepAliveTimeout: 75_000,
    requestTimeout: 30_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });
  answerErrors(app);
  if (deps.access !== undefined) requireAccess(app, deps.access);
  app.removeContentTypeParser('text/plain');
  // a watch is never idle: nothing else would end it, and the server could not close
  const closing = new AbortController();
  app.addHook('preClose', () => Promise.resolve(closing.abort()));

  app.post('/v1/pools/:namespace/:pool/claims', async (request, reply) => {
    const { namespace, pool } = parse(poolParamsSchema, request.params, 'path');
    if (deps.isDraining())
      throw claimError('Draining', 'this operator is shutting down; try again', { retryAfterSeconds: 1 });
    const body = parse(claimRequestSchema, request.body, 'claim');
    const claim = await deps.claims.claim(namespace, pool, body, abortOnClose(request, reply));
    reply.header('Server-Timing', serverTiming(claim));
    return reply.code(201).send(claim);
  });

  app.get('/v1/pools/:namespace/:pool/claims', async (request, reply) => {
    const { namespace, pool } = parse(poolParamsSchema, request.params, 'path');
    const query = parse(listClaimsQuerySchema, request.query, 'query');
    if (query.watch === 'true') return streamClaims(deps.queries, { namespace, pool }, request, reply, closing.signal);
    return deps.queries.list(namespace, pool, query.limit, query.continue);
  });

  app.get('/v1/pools', (): { items: PoolSummary[] } => ({ items: deps.queries.pools() }));

  app.get('/v1/claims/:namespace/:claimId', (request): Claim => {
    const { namespace, claimId } = parse(claimParamsSchema, request.params, 'path');
    return deps.queries.get(namespace, claimId);
  });

  app.delete('/v1/claims/:namespace/:claimId', async (request): Promise<Claim> => {
    const { namespace, claimId } = parse(claimParamsSchema, request.params, 'path');
    const { keepWarm } = parse(releaseQuerySchema, request.query, 'query');
    return deps.claims.release(namespace, claimId, keepWarm === undefined ? 0 : durationMs(keepWarm));
  });

  app.get('/v1/claims/:namespace/:claimId/logs', async (request) => {
    const { namespace, claimId } = parse(claimParamsSchema, request.params, 'path');
    return deps.queries.logs(namespace, claimId, parse(logsQuerySchema, request.query, 'query'));
  });

  app.post('/v1/claims/:namespace/:claimId/kill', async (request, reply) => {
    const { namespace, claimId } = parse(claimParamsSchema, request.params, 'path');
    const result = await deps.queries.kill(namespace, claimId, parse(killRequestSchema, request.body, 'kill request'));
    if (result.statusCode >= 400)
      throw new ClaimError('KillFailed', result.statusCode, result.message ?? `the request is ${result.state}`);
    return reply.code(result.statusCode).send({ state: result.state });
  });

  return app;
}

/** Aborts when the client goes away before it was answered. */
function abortOnClose(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  request.raw.socket.once('close', onClose);
  reply.raw.once('finish', () => request.raw.socket.off('close', onClose));
  function onClose(): void {
    if (!reply.raw.writableFinished) controller.abort();
  }
  return controller.signal;
}

function durationMs(text: string): number {
  const amount = Number.parseInt(text, 10);
  return amount * (text.endsWith('m') ? 60_000 : 1_000);
}

/** https://www.w3.org/TR/server-timing/: durations in milliseconds. */
function serverTiming(claim: Claim): string {
  return Object.entries(claim.timings ?? {})
    .map(([phase, ms]) => `${phase.slice(0, -2)};dur=${ms.toFixed(3)}`)
    .join(', ');
}
