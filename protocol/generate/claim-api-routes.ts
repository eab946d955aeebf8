import { z } from 'zod';
import {
  claimListSchema,
  claimParamsSchema,
  claimRequestSchema,
  claimSchema,
  killRequestSchema,
  listClaimsQuerySchema,
  logsQuerySchema,
  poolListSchema,
  poolParamsSchema,
  poolSummarySchema,
  releaseQuerySchema,
} from '../claim-api.ts';
import { errorBodySchema } from '../errors.ts';
import { prefetchCodeRequestSchema, prefetchParamsSchema, prefetchSchema } from '../prefetch-api.ts';
import { logsReplySchema } from '../runtime-agent-api.ts';
import { json, type ApiDescription, type Reply } from './routes.ts';

const fails = (description: string, headers?: Record<string, string>): Reply =>
  json(description, errorBodySchema, headers);

const RETRY_AFTER = { 'Retry-After': 'Seconds after which trying again makes sense.' };
const REFUSALS = {
  400: fails('The request is wrong; `details` names every wrong field.'),
  401: fails('No credentials, or ones that are not valid.'),
  403: fails('The caller may not do this in that namespace.'),
};
const NO_SUCH_CLAIM = { 404: fails('No such claim, or its record has expired.') };

/** What a platform calls: the operator's claim API. */
export const CLAIM_API: ApiDescription = {
  title: 'Warmpool claim API',
  description:
    'Run this code with this env: takes a standby runtime out of a pool and makes it one instance of a function.',
  components: {
    ClaimRequest: claimRequestSchema,
    Claim: claimSchema,
    ClaimList: claimListSchema,
    PoolSummary: poolSummarySchema,
    PoolList: poolListSchema,
    KillRequest: killRequestSchema,
    PrefetchRequest: prefetchCodeRequestSchema,
    Prefetch: prefetchSchema,
    Logs: logsReplySchema,
  },
  routes: [
    {
      method: 'post',
      path: '/v1/pools/{namespace}/{pool}/claims',
      operationId: 'createClaim',
      summary: 'Claim an instance that runs this code',
      description: 'Idempotent by `claimId`: the same claim sent again gets the same answer, never a second instance.',
      params: poolParamsSchema,
      request: { schema: claimRequestSchema },
      replies: {
        201: json('The instance is ready.', claimSchema, { 'Server-Timing': 'Milliseconds spent in each phase.' }),
        ...REFUSALS,
        404: fails('No such pool, or no such code object.'),
        409: fails('The claim id was used before with another body, or the pool serves another runtime.'),
        410: fails('The claim id belongs to an instance that was released.'),
        413: fails('The body is too large.'),
        415: fails('The body is not sent as `application/json`.'),
        422: fails('The code is at fault; `phase` says where, `message` and `stack` are its own.'),
        429: fails('Nothing is standby, and the pool rejects or its queue is full.', RETRY_AFTER),
        502: fails('The code store or the instance failed.'),
        503: fails('This operator does not serve claims now.', RETRY_AFTER),
        504: fails('The deadline of the claim passed, or the code was not ready within its init timeout.'),
      },
    },
    {
      method: 'get',
      path: '/v1/pools/{namespace}/{pool}/claims',
      operationId: 'listClaims',
      summary: 'List or watch the claims of a pool',
      description:
        'With `watch=true`: server-sent events, one `claim` for each claim that is known now, then `synced`, then one `claim` for each change.',
      params: poolParamsSchema,
      query: listClaimsQuerySchema,
      replies: {
        200: {
          description: 'The claims.',
          content: { 'application/json': claimListSchema, 'text/event-stream': z.string() },
        },
        ...REFUSALS,
        404: fails('No such pool.'),
      },
    },
    {
      method: 'get',
      path: '/v1/pools',
      operationId: 'listPools',
      summary: 'List the pools and how full they are',
      replies: { 200: json('The pools.', poolListSchema), 401: REFUSALS[401], 403: REFUSALS[403] },
    },
    {
      method: 'get',
      path: '/v1/claims/{namespace}/{claimId}',
      operationId: 'getClaim',
      summary: 'Read one claim',
      params: claimParamsSchema,
      replies: { 200: json('The claim.', claimSchema), ...REFUSALS, ...NO_SUCH_CLAIM },
    },
    {
      method: 'delete',
      path: '/v1/claims/{namespace}/{claimId}',
      operationId: 'releaseClaim',
      summary: 'Release an instance',
      description: 'Ends the instance; with `keepWarm` it stays that long for the same function version and tenant.',
      params: claimParamsSchema,
      query: releaseQuerySchema,
      replies: { 200: json('The claim as it is now.', claimSchema), ...REFUSALS, ...NO_SUCH_CLAIM },
    },
    {
      method: 'get',
      path: '/v1/claims/{namespace}/{claimId}/logs',
      operationId: 'readLogs',
      summary: 'Read what the function wrote',
      params: claimParamsSchema,
      query: logsQuerySchema,
      replies: {
        200: json('Lines, oldest first.', logsReplySchema),
        ...REFUSALS,
        ...NO_SUCH_CLAIM,
        502: fails("The instance or its node's host-agent did not answer."),
      },
    },
    {
      method: 'post',
      path: '/v1/claims/{namespace}/{claimId}/kill',
      operationId: 'killRequest',
      summary: 'End one request of an instance',
      params: claimParamsSchema,
      request: { schema: killRequestSchema },
      replies: {
        200: json('The request had already ended.', z.object({ state: z.string() })),
        202: json('The request is being ended.', z.object({ state: z.string() })),
        ...REFUSALS,
        404: fails('No such claim, or no such request.'),
        502: fails("The instance or its node's host-agent did not answer."),
      },
    },
    {
      method: 'post',
      path: '/v1/prefetch',
      operationId: 'prefetch',
      summary: 'Bring code to nodes before it is claimed',
      description:
        'To the nodes where pools of a namespace have pods, or to nodes by name. Claims go first; one for code that is on its way joins it. The same code for the same nodes is the same prefetch while it runs.',
      request: { schema: prefetchCodeRequestSchema },
      replies: {
        202: json('Under way; ask for it by its `id`.', prefetchSchema),
        ...REFUSALS,
        404: fails('No such pool.'),
        409: fails('No node to bring it to, or the same code is on its way there from another source.'),
        413: fails('The body is too large.'),
        415: fails('The body is not sent as `application/json`.'),
        429: fails('Too many are under way.', RETRY_AFTER),
        503: fails('This operator does not serve claims now.', RETRY_AFTER),
      },
    },
    {
      method: 'get',
      path: '/v1/prefetch/{prefetchId}',
      operationId: 'getPrefetch',
      summary: 'Read how far a prefetch is',
      params: prefetchParamsSchema,
      replies: {
        200: json('Each node, and how far it is.', prefetchSchema),
        ...REFUSALS,
        404: fails('No such prefetch: it ended more than an hour ago, or another replica serves now.'),
        503: fails('This operator does not serve claims now.', RETRY_AFTER),
      },
    },
  ],
};
