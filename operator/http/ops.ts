import Fastify, { LogController, type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import type { Registry } from 'prom-client';

export interface OpsDeps {
  registry: Registry;
  log: FastifyBaseLogger;
  /** Serving claims: caches complete, and leading if there is an election. */
  isReady(): boolean;
  /** Caches complete, leading or not: could take over at once. */
  isComplete?(): boolean;
}

/** What the kubelet and Prometheus ask: /healthz, /readyz, /readyz/replica, /metrics. On a port of its own, never the claim API's. */
export function createOpsServer(deps: OpsDeps): FastifyInstance {
  const app = Fastify({ loggerInstance: deps.log, logController: new LogController({ disableRequestLogging: true }) });
  addOpsRoutes(app, deps);
  return app;
}

export function addOpsRoutes(app: FastifyInstance, deps: OpsDeps): void {
  app.get('/healthz', () => ({ status: 'ok' }));
  app.get('/readyz', (_request, reply) => {
    const isReady = deps.isReady();
    return reply.code(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not serving claims' });
  });
  app.get('/readyz/replica', (_request, reply) => {
    const isComplete = deps.isComplete?.() ?? deps.isReady();
    return reply
      .code(isComplete ? 200 : 503)
      .send({ status: isComplete ? 'can serve claims' : 'no complete view yet' });
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(deps.registry.contentType).send(await deps.registry.metrics()),
  );
}
