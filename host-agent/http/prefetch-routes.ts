import type { FastifyInstance } from 'fastify';
import type { PrefetchList } from '@warmpool/protocol/host-agent-api.ts';
import { prefetchRequestSchema } from '@warmpool/protocol/host-agent-api.ts';
import type { Prefetcher } from '../cache/prefetcher.ts';
import { parse } from './server.ts';

export function addPrefetchRoutes(app: FastifyInstance, { prefetcher }: { prefetcher: Prefetcher }): void {
  app.post('/v1/prefetch', (request, reply) => {
    const { code } = parse(prefetchRequestSchema, request.body);
    return reply.code(202).send(prefetcher.start(code));
  });
  app.get('/v1/prefetch', (): PrefetchList => ({ items: prefetcher.list() }));
}
