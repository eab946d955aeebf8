import { z } from 'zod';
import {
  claimIdSchema,
  codeSchema,
  envSchema,
  functionKindSchema,
  functionSchema,
  handlerSchema,
  limitsSchema,
  namespaceSchema,
  poolNameSchema,
  requestIdSchema,
  resourcesSchema,
  serviceMetadataSchema,
} from './fields.ts';

/** `POST /v1/pools/{namespace}/{pool}/claims` */
export const claimRequestSchema = z.strictObject({
  /** Chosen by the client; sending the same claim again gives the same answer, never a second instance. */
  claimId: claimIdSchema,
  function: functionSchema,
  code: codeSchema,
  kind: functionKindSchema.default('handler'),
  handler: handlerSchema,
  env: envSchema.default({}),
  service: serviceMetadataSchema.default({}),
  limits: limitsSchema.prefault({}),
  resources: resourcesSchema.optional(),
  /** The whole claim, waiting in the queue included, may take this long. */
  deadlineMs: z.int().min(1).max(600_000).default(30_000),
  /** Overrides the pool's `claims.ttlSecondsAfterReady`; 0 = no limit. */
  ttlSeconds: z.int().min(0).max(604_800).optional(),
  /** Overrides the pool's `claims.idleTimeoutSeconds`; 0 = no limit. */
  idleTimeoutSeconds: z.int().min(0).max(604_800).optional(),
});
export type ClaimRequest = z.output<typeof claimRequestSchema>;
export type ClaimRequestInput = z.input<typeof claimRequestSchema>;

/** Milliseconds spent in each phase of one claim. A phase that did not happen (cached code, reuse) is 0. */
export const claimTimingsSchema = z.object({
  queueMs: z.number(),
  pickMs: z.number(),
  /** The conditional write to the pod; runs in parallel with the phases after it. */
  writeMs: z.number(),
  fetchMs: z.number(),
  unpackMs: z.number(),
  mountMs: z.number(),
  /** The `/v1/load` call as the host-agent saw it, `importMs` included. */
  loadMs: z.number(),
  importMs: z.number(),
  /** The reload of the pod's sidecars, in parallel with fetch to import; absent where the pool has none. */
  sidecarsMs: z.number().optional(),
  totalMs: z.number(),
});
export type ClaimTimings = z.output<typeof claimTimingsSchema>;

export const claimStateSchema = z.enum(['queued', 'loading', 'ready', 'released', 'failed']);

export const claimSourceSchema = z.enum(['standby', 'reused', 'cold']);

/**
 * What became of the CPU that the claim asked for. `requested`: no answer yet, which does not hold the claim up; `accepted`: the node is
 * to do it; `done`: the node has done it. It never decides whether a claim succeeds.
 */
export const claimResizeSchema = z.object({
  cpu: z.string(),
  state: z.enum(['requested', 'accepted', 'done', 'unneeded', 'unsupported', 'failed']),
  message: z.string().optional(),
});
export type ClaimResize = z.output<typeof claimResizeSchema>;

export const claimSchema = z.object({
  claimId: z.string(),
  namespace: z.string(),
  pool: z.string(),
  state: claimStateSchema,
  function: z.object({ name: z.string(), version: z.string(), tenant: z.string() }),
  source: claimSourceSchema.optional(),
  pod: z.object({ name: z.string(), uid: z.string(), node: z.string() }).optional(),
  /** Where the instance serves: `POST` for a handler, the app's own routes for `http`. */
  address: z.object({ host: z.string(), port: z.int(), url: z.string() }).optional(),
  /** RFC 3339. */
  createdAt: z.string(),
  readyAt: z.string().optional(),
  timings: claimTimingsSchema.optional(),
  /** Only when the claim asked for CPU. */
  resize: claimResizeSchema.optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Claim = z.output<typeof claimSchema>;

export const poolParamsSchema = z.object({ namespace: namespaceSchema, pool: poolNameSchema });
export const claimParamsSchema = z.object({ namespace: namespaceSchema, claimId: claimIdSchema });

export const listClaimsQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(500),
  /** The `continue` of the page before. */
  continue: z.string().max(256).optional(),
  /** `true` turns the answer into server-sent events: one `claim` event for each now, then for each change. */
  watch: z.enum(['true', 'false']).default('false'),
});
export const claimListSchema = z.object({ items: z.array(claimSchema), continue: z.string().optional() });

export const releaseQuerySchema = z.strictObject({
  /** Keep the instance this long for the next claim of the same function version and tenant: `30s`, `5m`. */
  keepWarm: z
    .string()
    .regex(/^[1-9][0-9]{0,4}(s|m)$/, 'must be a number of seconds or minutes, for example "30s" or "5m"')
    .optional(),
});

export const killRequestSchema = z.strictObject({
  requestId: requestIdSchema,
  /** `graceful` aborts the request's signal first; `force` ends it at once, with the process if need be. */
  mode: z.enum(['graceful', 'force']).default('graceful'),
  graceMs: z.int().min(0).max(60_000).default(1_000),
  reason: z.string().max(256).default(''),
});
export type KillRequest = z.output<typeof killRequestSchema>;

export const logsQuerySchema = z.strictObject({
  requestId: requestIdSchema.optional(),
  limitBytes: z.coerce.number().int().min(1).max(1_048_576).default(262_144),
});

export const poolSummarySchema = z.object({
  namespace: z.string(),
  name: z.string(),
  runtime: z.object({ name: z.string(), version: z.string() }),
  replicas: z.int(),
  readyReplicas: z.int(),
  claimedReplicas: z.int(),
  queuedClaims: z.int(),
});
export const poolListSchema = z.object({ items: z.array(poolSummarySchema) });
export type PoolSummary = z.output<typeof poolSummarySchema>;
