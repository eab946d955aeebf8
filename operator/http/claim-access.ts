import type { FastifyInstance, FastifyRequest } from 'fastify';

/** What a caller of a route must be allowed to do, in the words of Kubernetes' RBAC. */
export interface AccessRule {
  readonly verb: 'create' | 'get' | 'list' | 'watch' | 'delete';
  readonly resource: 'warmpoolclaims' | 'warmpools' | 'prefetches';
  readonly subresource?: 'log' | 'kill';
}

export interface ClaimAccess {
  /**
   * `undefined`: allowed, known from before. Throws a ClaimError when the opposite is known; else resolves or rejects when it is.
   * `namespace` undefined: in all of them.
   */
  check(authorization: string | undefined, rule: AccessRule, namespace: string | undefined): Promise<void> | undefined;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: AccessRule;
  }
}

const WATCH_CLAIMS: AccessRule = { verb: 'watch', resource: 'warmpoolclaims' };

/** Of what also goes the short way through the server, or asks for itself. */
export const ACCESS_RULES = {
  create: { verb: 'create', resource: 'warmpoolclaims' },
  get: { verb: 'get', resource: 'warmpoolclaims' },
  release: { verb: 'delete', resource: 'warmpoolclaims' },
  createPrefetch: { verb: 'create', resource: 'prefetches' },
  getPrefetch: { verb: 'get', resource: 'prefetches' },
} as const satisfies Record<string, AccessRule>;

/** The namespace is not in the path: the route asks when it knows it. */
const ASKS_FOR_ITSELF = 'asks for itself';

const RULES: Readonly<Record<string, AccessRule | typeof ASKS_FOR_ITSELF>> = {
  'POST /v1/pools/:namespace/:pool/claims': ACCESS_RULES.create,
  'GET /v1/pools/:namespace/:pool/claims': { verb: 'list', resource: 'warmpoolclaims' },
  'GET /v1/pools': { verb: 'list', resource: 'warmpools' },
  'GET /v1/claims/:namespace/:claimId': ACCESS_RULES.get,
  'DELETE /v1/claims/:namespace/:claimId': ACCESS_RULES.release,
  'GET /v1/claims/:namespace/:claimId/logs': { verb: 'get', resource: 'warmpoolclaims', subresource: 'log' },
  'POST /v1/prefetch': ASKS_FOR_ITSELF,
  'GET /v1/prefetch/:prefetchId': ASKS_FOR_ITSELF,
  'POST /v1/claims/:namespace/:claimId/kill': { verb: 'create', resource: 'warmpoolclaims', subresource: 'kill' },
};

/** Before the routes are added: each of them below /v1 gets its rule, and one without a rule is a mistake that nobody can start. */
export function requireAccess(app: FastifyInstance, access: ClaimAccess): void {
  app.addHook('onRoute', (route) => {
    if (!route.url.startsWith('/v1/')) return;
    for (const method of [route.method].flat()) {
      const rule = RULES[`${method === 'HEAD' ? 'GET' : method} ${route.url}`];
      if (rule === undefined) throw new Error(`no access rule for ${method} ${route.url}: add one in claim-access.ts`);
      if (rule !== ASKS_FOR_ITSELF) route.config = { ...route.config, access: rule };
    }
  });
  app.addHook('onRequest', (request, _reply, done) => {
    const rule = request.routeOptions.config.access;
    if (rule === undefined) return done();
    let asking: Promise<void> | undefined;
    try {
      const { namespace } = request.params as { namespace?: string };
      asking = access.check(request.headers.authorization, isWatch(request, rule) ? WATCH_CLAIMS : rule, namespace);
    } catch (error) {
      return done(error as Error);
    }
    if (asking === undefined) return done();
    void tell(asking, done);
  });
}

async function tell(asking: Promise<void>, done: (error?: Error) => void): Promise<void> {
  const refusal = await asking.then(
    () => undefined,
    (error: Error) => error,
  );
  done(refusal);
}

function isWatch({ query }: FastifyRequest, { verb }: AccessRule): boolean {
  return verb === 'list' && (query as { watch?: unknown }).watch === 'true';
}
