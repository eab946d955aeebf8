import Fastify from 'fastify';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { ClaimQueries } from '../claims/claim-queries.ts';
import type { ClaimService } from '../claims/claim-service.ts';
import { claimError } from '../errors.ts';
import type { PrefetchService } from '../prefetch/prefetch-service.ts';
import { requireAccess, type AccessRule, type ClaimAccess } from './claim-access.ts';
import { createClaimApi } from './claim-api.ts';

interface Asked {
  authorization: string | undefined;
  rule: AccessRule;
  namespace: string | undefined;
}

/** The API with nothing behind it: whatever gets past `access` fails with another error than 401 or 403. */
function anApi(check: (asked: Asked) => Promise<void> | undefined) {
  const asked: Asked[] = [];
  const access: ClaimAccess = {
    check(authorization, rule, namespace) {
      asked.push({ authorization, rule, namespace });
      return check({ authorization, rule, namespace });
    },
  };
  const app = createClaimApi({
    claims: {} as ClaimService,
    queries: {} as ClaimQueries,
    prefetches: {} as PrefetchService,
    log: pino({ level: 'silent' }),
    access,
    isDraining: () => false,
  });
  return { app, asked };
}

const ROUTES = [
  ['POST', '/v1/pools/ns/pool/claims', 'create warmpoolclaims', 'ns'],
  ['GET', '/v1/pools/ns/pool/claims', 'list warmpoolclaims', 'ns'],
  ['HEAD', '/v1/pools/ns/pool/claims', 'list warmpoolclaims', 'ns'],
  ['GET', '/v1/pools/ns/pool/claims?watch=true', 'watch warmpoolclaims', 'ns'],
  ['GET', '/v1/pools', 'list warmpools', undefined],
  ['GET', '/v1/claims/ns/id', 'get warmpoolclaims', 'ns'],
  ['DELETE', '/v1/claims/ns/id', 'delete warmpoolclaims', 'ns'],
  ['GET', '/v1/claims/ns/id/logs', 'get warmpoolclaims/log', 'ns'],
  ['POST', '/v1/claims/ns/id/kill', 'create warmpoolclaims/kill', 'ns'],
  ['GET', `/v1/prefetch/ns.${'a'.repeat(32)}`, 'get prefetches', 'ns'],
  ['GET', `/v1/prefetch/${'a'.repeat(32)}`, 'get prefetches', undefined],
] as const;

test.each(ROUTES)('%s %s asks for %s in %s, and is refused as that says', async (method, url, wanted, namespace) => {
  const { app, asked } = anApi(() => {
    throw claimError('Unauthenticated', 'no token');
  });
  const known = await app.inject({ method, url, headers: { authorization: 'Bearer t' } });
  expect([known.statusCode, known.headers['www-authenticate']]).toEqual([401, 'Bearer']);
  const { verb, resource, subresource } = asked[0]?.rule ?? {};
  expect(`${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`).toBe(wanted);
  expect(asked[0]).toMatchObject({ authorization: 'Bearer t', namespace });

  const later = anApi(() => Promise.reject(claimError('Forbidden', 'you may not')));
  expect((await later.app.inject({ method, url })).statusCode).toBe(403);
});

test.each([
  [{ namespace: 'ns' }, 'ns'],
  [{ nodes: ['node-1'] }, undefined],
])('a prefetch %o asks for the right in namespace %s', async (where, namespace) => {
  const { app, asked } = anApi(() => Promise.reject(claimError('Forbidden', 'you may not')));
  const code = { key: 'a', digest: `sha256:${'a'.repeat(64)}`, format: 'tar' };
  const headers = { authorization: 'Bearer t' };
  const sent = await app.inject({ method: 'POST', url: '/v1/prefetch', headers, payload: { code, ...where } });
  expect(sent.statusCode).toBe(403);
  expect(asked).toEqual([{ authorization: 'Bearer t', rule: { verb: 'create', resource: 'prefetches' }, namespace }]);
});

test('what is allowed goes on, whether it was known or had to be asked for', async () => {
  for (const allowed of [undefined, Promise.resolve()]) {
    const { app } = anApi(() => allowed);
    // nothing is behind it: a body that is no claim is refused by the handler itself
    expect((await app.inject({ method: 'POST', url: '/v1/pools/ns/pool/claims', payload: {} })).statusCode).toBe(400);
  }
});

test('a refused body is not read', async () => {
  const { app } = anApi(() => {
    throw claimError('Unauthenticated', 'no token');
  });
  const sent = await app.inject({ method: 'POST', url: '/v1/pools/ns/pool/claims', payload: '{ broken' });
  expect(sent.statusCode).toBe(401);
});

test('what is not there is 404 for everybody, and asks nobody', async () => {
  const { app, asked } = anApi(() => undefined);
  expect((await app.inject({ method: 'GET', url: '/v1/nothing' })).statusCode).toBe(404);
  expect(asked).toEqual([]);
});

test('a route that nobody thought about cannot be started', () => {
  const app = Fastify();
  requireAccess(app, { check: () => undefined });
  expect(() => app.get('/v1/everything', () => 'secret')).toThrow('no access rule for GET /v1/everything');
});
