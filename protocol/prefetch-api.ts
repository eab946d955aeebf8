import { z } from 'zod';
import { codeFormatSchema, codeSchema, namespaceSchema, poolNameSchema } from './fields.ts';
import { prefetchStatusSchema } from './host-agent-api.ts';

/** More nodes than this one prefetch does not reach. */
export const MAX_PREFETCH_NODES = 1_000;

const nodeNameSchema = z
  .string()
  .regex(
    /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/,
    'must be the name of a node: lower-case letters, digits, "-" and "."',
  );

/**
 * `POST /v1/prefetch`: bring code to nodes before it is claimed. To the nodes where a namespace's pools have pods; or, without
 * `namespace`, to nodes by name or to all, which needs the right in all namespaces.
 */
export const prefetchCodeRequestSchema = z
  .strictObject({
    code: codeSchema,
    namespace: namespaceSchema.optional(),
    /** Of the namespace; absent means each of its pools. */
    pools: z.array(poolNameSchema).min(1).max(100).optional(),
    nodes: z.array(nodeNameSchema).min(1).max(MAX_PREFETCH_NODES).optional(),
    /** Of the nodes that are meant so many, those first that have the code, then those with the most standby pods. Absent: all. */
    nodeCount: z.int().min(1).max(MAX_PREFETCH_NODES).optional(),
  })
  .refine(({ namespace, pools }) => pools === undefined || namespace !== undefined, {
    error: 'needs namespace, which says whose pools these are',
    path: ['pools'],
  })
  .refine(({ namespace, nodes }) => nodes === undefined || namespace === undefined, {
    error: 'must not be given with namespace: its pools say which nodes',
    path: ['nodes'],
  });
export type PrefetchCodeRequest = z.output<typeof prefetchCodeRequestSchema>;

/** `<namespace>.<hash>`, or only the hash. The same code for the same nodes is the same prefetch. */
export const prefetchIdSchema = z
  .string()
  .regex(/^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)?[0-9a-f]{32}$/, 'must be the id that POST /v1/prefetch has answered');

export const prefetchParamsSchema = z.object({ prefetchId: prefetchIdSchema });

export const prefetchNodeSchema = z.object({
  node: z.string(),
  /** `waiting`: the node was not told yet. */
  state: z.enum(['waiting', ...prefetchStatusSchema.shape.state.options]),
  receivedBytes: z.int(),
  sizeBytes: z.int().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type PrefetchNode = z.output<typeof prefetchNodeSchema>;

export const prefetchSchema = z.object({
  id: z.string(),
  namespace: z.string().optional(),
  digest: z.string(),
  format: codeFormatSchema,
  /** `done`: each node has it; `failed`: it is over, and a node does not have it. */
  state: z.enum(['running', 'done', 'failed']),
  /** RFC 3339. */
  createdAt: z.string(),
  endedAt: z.string().optional(),
  cachedNodes: z.int(),
  failedNodes: z.int(),
  nodes: z.array(prefetchNodeSchema),
});
export type Prefetch = z.output<typeof prefetchSchema>;
