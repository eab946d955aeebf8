import type { FastifyInstance } from 'fastify';
import { prefetchCodeRequestSchema, prefetchParamsSchema } from '@warmpool/protocol/prefetch-api.ts';
import { namespaceOfPrefetch } from '../core/prefetch-plan.ts';
import { claimError } from '../errors.ts';
import type { PrefetchService } from '../prefetch/prefetch-service.ts';
import { ACCESS_RULES, type ClaimAccess } from './claim-access.ts';
import { parse } from './errors.ts';

export interface PrefetchRoutesDeps {
  prefetches: PrefetchService;
  access?: ClaimAccess | undefined;
  isDraining: () => boolean;
}

/** A thousand names of nodes and a URL. */
const BODY_LIMIT_BYTES = 300 * 1024;

/** Which namespace the caller needs a right in is said by the body, and by the id: so these routes ask for themselves. */
export function addPrefetchRoutes(app: FastifyInstance, { prefetches, access, isDraining }: PrefetchRoutesDeps): void {
  app.post('/v1/prefetch', { bodyLimit: BODY_LIMIT_BYTES }, async (request, reply) => {
    const wish = parse(prefetchCodeRequestSchema, request.body, 'prefetch');
    await access?.check(request.headers.authorization, ACCESS_RULES.createPrefetch, wish.namespace);
    if (isDraining())
      throw claimError('Draining', 'this operator is shutting down; try again', { retryAfterSeconds: 1 });
    return reply.code(202).send(await prefetches.start(wish));
  });

  app.get('/v1/prefetch/:prefetchId', async (request) => {
    const { prefetchId } = parse(prefetchParamsSchema, request.params, 'path');
    await access?.check(request.headers.authorization, ACCESS_RULES.getPrefetch, namespaceOfPrefetch(prefetchId));
    return prefetches.get(prefetchId);
  });
}
