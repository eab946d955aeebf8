import {
  claimParamsSchema,
  killRequestSchema,
  listClaimsQuerySchema,
  logsQuerySchema,
  poolParamsSchema,
  type PoolSummary,
} from '@warmpool/protocol/claim-api.ts';
import Fastify, { LogController, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { PlainAnswer } from '@warmpool/wire/plain-front.ts';
import { ClaimError } from '../errors.ts';
import { requireAccess } from './claim-access.ts';
import { streamClaims } from './claim-events.ts';
import { ClaimExchanges, type ClaimExchangesDeps } from './claim-exchanges.ts';
import { addPrefetchRoutes, type PrefetchRoutesDeps } from './prefetch-routes.ts';
import { answerErrors, parse } from './errors.ts';

/** A claim's env may be 256 KiB; JSON escapes can double that. */
const LIMITS = { bodyLimitBytes: 1024 * 1024, keepAliveTimeoutMs: 75_000, requestTimeoutMs: 30_000 };

export type ClaimApiDeps = ClaimExchangesDeps & PrefetchRoutesDeps;

/** The claim API over HTTP. Every route parses, calls one thing, and answers. */
export function createClaimApi(deps: ClaimApiDeps): FastifyInstance {
  const app = Fastify({
    loggerInstance: deps.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: LIMITS.bodyLimitBytes,
    keepAliveTimeout: LIMITS.keepAliveTimeoutMs,
    requestTimeout: LIMITS.requestTimeoutMs,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
  });
  answerErrors(app);
  if (deps.access !== undefined) requireAccess(app, deps.access);
  app.removeContentTypeParser('text/plain');
  // a watch is never idle: nothing else would end it, and the server could not close
  const closing = new AbortController();
  app.addHook('preClose', () => Promise.resolve(closing.abort()));

  const exchanges = new ClaimExchanges(deps);
  const front = exchanges.front(LIMITS);
  front.attach(app.server);
  app.addHook('preClose', () => Promise.resolve(front.close()));

  app.post('/v1/pools/:namespace/:pool/claims', async (request, reply) =>
    answer(reply, await exchanges.create(request.params, request.body, abortOnClose(request, reply))),
  );

  app.get('/v1/pools/:namespace/:pool/claims', async (request, reply) => {
    const { namespace, pool } = parse(poolParamsSchema, request.params, 'path');
    const query = parse(listClaimsQuerySchema, request.query, 'query');
    if (query.watch === 'true') return streamClaims(deps.queries, { namespace, pool }, request, reply, closing.signal);
    return deps.queries.list(namespace, pool, query.limit, query.continue);
  });

  app.get('/v1/pools', (): { items: PoolSummary[] } => ({ items: deps.queries.pools() }));

  app.get('/v1/claims/:namespace/:claimId', (request, reply) => answer(reply, exchanges.get(request.params)));

  app.delete('/v1/claims/:namespace/:claimId', async (request, reply) =>
    answer(reply, await exchanges.release(request.params, request.query)),
  );

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

  addPrefetchRoutes(app, deps);
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

function answer(reply: FastifyReply, { statusCode, body, headers = {} }: PlainAnswer): FastifyReply {
  return reply.code(statusCode).headers(headers).send(body);
}
