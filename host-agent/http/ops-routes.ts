import type { FastifyInstance } from 'fastify';
import type { CacheReply } from '@warmpool/protocol/host-agent-api.ts';
import type { CodeCache } from '../cache/code-cache.ts';
import { hostError } from '../errors.ts';
import type { LoadService } from '../load/load-service.ts';
import type { HostMetrics } from '../metrics.ts';

export interface OpsRoutesDeps {
  cache: CodeCache;
  loads: LoadService;
  metrics: HostMetrics;
}

export function addOpsRoutes(app: FastifyInstance, { cache, loads, metrics }: OpsRoutesDeps): void {
  app.get('/v1/cache', (): CacheReply => cache.describe());
  addProbeRoutes(app, { loads, metrics });
}

/** What the kubelet and Prometheus ask. */
export function addProbeRoutes(app: FastifyInstance, { loads, metrics }: Omit<OpsRoutesDeps, 'cache'>): void {
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', () => {
    if (loads.isDraining) throw hostError.draining();
    return { status: 'ok' };
  });
  app.get('/metrics', async (_request, reply) => {
    const text = await metrics.registry.metrics();
    return reply.type(metrics.registry.contentType).send(text);
  });
}
