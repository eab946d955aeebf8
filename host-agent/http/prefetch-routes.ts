import type { FastifyInstance } from 'fastify';
import type { PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import { prefetchQuerySchema, prefetchRequestSchema } from '@warmpool/protocol/host-agent-api.ts';
import type { Prefetcher } from '../cache/prefetcher.ts';
import type { Clock } from '../clock.ts';
import type { GrantGate } from '../core/grant.ts';
import type { PeerDirectory } from '../peers/peer-directory.ts';
import { parse } from './server.ts';

export interface PrefetchRoutesDeps {
  prefetcher: Prefetcher;
  grants: Pick<GrantGate, 'admitPrefetch'>;
  clock: Clock;
  peers: Pick<PeerDirectory, 'learn'> | undefined;
}

export function addPrefetchRoutes(
  app: FastifyInstance,
  { prefetcher, grants, clock, peers }: PrefetchRoutesDeps,
): void {
  app.post('/v1/prefetch', (request, reply) => {
    const { code, peers: named, grant } = parse(prefetchRequestSchema, request.body);
    if (grant !== undefined) grants.admitPrefetch(grant, code.digest, clock.now());
    peers?.learn(code.digest, named ?? []);
    return reply.code(202).send(prefetcher.start({ ...code, access: grant?.access }));
  });
  app.get('/v1/prefetch', (request): PrefetchList => {
    const { digest } = parse(prefetchQuerySchema, request.query);
    const items = prefetcher.list();
    return { items: digest === undefined ? items : items.filter((item) => item.digest === digest) };
  });
}
