import { z } from 'zod';
import {
  claimIdSchema,
  codeFormatSchema,
  codeSchema,
  digestSchema,
  envSchema,
  functionKindSchema,
  functionSchema,
  handlerSchema,
  limitsSchema,
  podUidSchema,
  runtimeSchema,
  serviceMetadataSchema,
} from './fields.ts';
import { codeAccessSchema, type CodeAccess } from './pool-code.ts';
import { sidecarReloadSchema } from './warm-pool.ts';
import { agentKillRequestSchema, agentStateSchema, statusReplySchema } from './runtime-agent-api.ts';

const nonceSchema = z.string().regex(/^[0-9a-f]{32}$/);
const signatureSchema = z.string().regex(/^[0-9a-f]{64}$/);

/**
 * A load grant: the operator's word that this claim may load into this process of this pod, once.
 * `signature` is HMAC-SHA-256, hex, over {@link grantPayload} with the key that operator and host-agents share.
 */
export const loadGrantSchema = z.strictObject({
  podUid: podUidSchema,
  epoch: z.string().min(1).max(128),
  claimId: claimIdSchema,
  fence: z.int().min(0),
  /** With what the code may be fetched; absent: with what the host-agent itself was given. */
  access: codeAccessSchema.optional(),
  expiresAtUnixMs: z.int(),
  nonce: nonceSchema,
  signature: signatureSchema,
});
export type LoadGrant = z.output<typeof loadGrantSchema>;

/** The bytes that a grant's signature covers. */
export function grantPayload(grant: Omit<LoadGrant, 'signature'>): string {
  const { podUid, epoch, claimId, fence, access, expiresAtUnixMs, nonce } = grant;
  const parts = [podUid, epoch, claimId, fence, expiresAtUnixMs, nonce];
  return [...parts, ...(access === undefined ? [] : [accessText(access)])].join('\n');
}

/** The operator's word that this code may be prefetched with a pool's Secret; signed as a load grant is. */
export const prefetchGrantSchema = z.strictObject({
  access: codeAccessSchema,
  expiresAtUnixMs: z.int(),
  nonce: nonceSchema,
  signature: signatureSchema,
});
export type PrefetchGrant = z.output<typeof prefetchGrantSchema>;

/** Never that of a load: those begin with a pod's uid, in which there is no white space. */
export function prefetchGrantPayload(digest: string, grant: Omit<PrefetchGrant, 'signature'>): string {
  return ['prefetch of', digest, grant.expiresAtUnixMs, grant.nonce, accessText(grant.access)].join('\n');
}

/** One line, whatever is in it. */
function accessText({ namespace, secretName, store = '' }: CodeAccess): string {
  return JSON.stringify([namespace, secretName, store]);
}

/** A container of the pod that learns at load whose it is, and nothing but that: `service` of the same request. */
const sidecarLoadSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be the name of a container'),
  reload: sidecarReloadSchema,
  timeoutMs: z.int().min(1).max(60_000),
});
export type SidecarLoad = z.output<typeof sidecarLoadSchema>;
export const sidecarLoadsSchema = z.array(sidecarLoadSchema).max(8);

/** Host-agents that may have the code, the best first: asked before its source. They are where `SNAPSHOT.peerUrl` says. */
const peersSchema = z.array(z.url({ protocol: /^https?$/ })).max(4);

/** `POST /v1/load` of the host-agent: deliver the code to the pod and load it. */
export const hostLoadRequestSchema = z.strictObject({
  grant: loadGrantSchema,
  function: functionSchema,
  runtime: runtimeSchema,
  kind: functionKindSchema,
  handler: handlerSchema,
  code: codeSchema,
  env: envSchema,
  service: serviceMetadataSchema,
  limits: limitsSchema,
  sidecars: sidecarLoadsSchema.optional(),
  peers: peersSchema.optional(),
  /** Everything (fetch, unpack, mount, load) must be over by then. */
  deadlineUnixMs: z.int(),
});
export type HostLoadRequest = z.output<typeof hostLoadRequestSchema>;

export const hostLoadReplySchema = z.object({
  claimId: z.string(),
  podUid: z.string(),
  epoch: z.string(),
  address: z.object({ host: z.string(), port: z.int() }),
  codeSource: z.enum(['cache', 'fetched']),
  timings: z.object({
    fetchMs: z.number(),
    unpackMs: z.number(),
    mountMs: z.number(),
    loadMs: z.number(),
    importMs: z.number(),
    /** Of the slowest sidecar, in parallel with the phases above; absent where the pod has none. */
    sidecarsMs: z.number().optional(),
    totalMs: z.number(),
  }),
});
export type HostLoadReply = z.output<typeof hostLoadReplySchema>;

/**
 * What the operator may do after a failed load, told by the error's `code`. `user`: the user's code or input is at fault, answer it.
 * `pod`: try another pod. `store`: the object store is at fault, another pod will not help.
 */
export const LOAD_ERROR_CODES = {
  // user
  UserCodeError: { status: 422, fault: 'user' },
  InitTimeout: { status: 504, fault: 'user' },
  HandlerNotFound: { status: 422, fault: 'user' },
  DigestMismatch: { status: 422, fault: 'user' },
  ObjectNotFound: { status: 404, fault: 'user' },
  BadArchive: { status: 422, fault: 'user' },
  ArchiveTooLarge: { status: 422, fault: 'user' },
  SourceNotAllowed: { status: 403, fault: 'user' },
  // store
  StoreUnreachable: { status: 502, fault: 'store' },
  StoreRefused: { status: 502, fault: 'store' },
  /** The pool's Secret, or a key in it, is missing, wrong, or not for this host-agent to read. */
  CredentialsMissing: { status: 502, fault: 'store' },
  /** The apiserver does not say what is in it. */
  CredentialsUnavailable: { status: 503, fault: 'store' },
  // pod
  BadGrant: { status: 403, fault: 'pod' },
  PodUnknown: { status: 404, fault: 'pod' },
  PodNotStandby: { status: 409, fault: 'pod' },
  RuntimeMismatch: { status: 412, fault: 'pod' },
  SidecarFailed: { status: 502, fault: 'pod' },
  PodLost: { status: 502, fault: 'pod' },
  CacheFull: { status: 507, fault: 'pod' },
  DeadlineExceeded: { status: 504, fault: 'pod' },
  Draining: { status: 503, fault: 'pod' },
} as const satisfies Record<string, { status: number; fault: 'user' | 'pod' | 'store' }>;
export type LoadErrorCode = keyof typeof LOAD_ERROR_CODES;

/** What a node says about one pod. */
export const podReportSchema = z.object({
  podUid: podUidSchema,
  epoch: z.string(),
  state: agentStateSchema,
  seq: z.int(),
  claimId: z.string().optional(),
  digest: z.string().optional(),
  address: z.object({ host: z.string(), port: z.int() }).optional(),
  inFlight: z.int(),
  idleSinceUnixMs: z.number().optional(),
  lastError: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type PodReport = z.output<typeof podReportSchema>;

/** A node that has more tells of those that were used last. */
export const MAX_NODE_DIGESTS = 10_000;

/**
 * `GET /v1/events`: newline-delimited JSON, a SNAPSHOT first, then each change, a PING at least every 2 s.
 * A pod is offered to claims from its report of state `standby` on, and never after a report of another state or epoch.
 */
export const nodeEventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('SNAPSHOT'),
    node: z.string(),
    pods: z.array(podReportSchema),
    digests: z.array(z.string()),
    /** Where host-agents of other nodes get code from this one; absent when it serves none. */
    peerUrl: z.string().max(256).optional(),
  }),
  z.object({ type: z.literal('POD'), pod: podReportSchema }),
  z.object({ type: z.literal('POD_GONE'), podUid: podUidSchema }),
  z.object({ type: z.literal('CACHED'), digest: z.string() }),
  z.object({ type: z.literal('EVICTED'), digest: z.string() }),
  z.object({ type: z.literal('PING') }),
]);
export type NodeEvent = z.output<typeof nodeEventSchema>;

/** `POST /v1/status:batchGet` */
export const batchStatusRequestSchema = z.strictObject({ podUids: z.array(podUidSchema).min(1).max(500) });
export const batchStatusReplySchema = z.object({
  items: z.array(z.object({ podUid: podUidSchema, found: z.boolean(), status: statusReplySchema.optional() })),
});
export type BatchStatusReply = z.output<typeof batchStatusReplySchema>;

/** `POST /v1/kill:batch` */
export const batchKillRequestSchema = z.strictObject({
  items: z
    .array(agentKillRequestSchema.extend({ podUid: podUidSchema }))
    .min(1)
    .max(500),
});
export const batchKillReplySchema = z.object({
  items: z.array(
    z.object({ podUid: podUidSchema, statusCode: z.int(), state: z.string(), message: z.string().optional() }),
  ),
});
export type BatchKillReply = z.output<typeof batchKillReplySchema>;

/** `GET /v1/cache` */
export const cacheReplySchema = z.object({
  usedBytes: z.int(),
  limitBytes: z.int(),
  /** Set aside for fetches under way. */
  fetchingBytes: z.int(),
  /** Evicted, and not yet deleted. */
  deletingBytes: z.int(),
  /** Since this host-agent started. */
  evictedCount: z.int(),
  evictedBytes: z.int(),
  entries: z.array(
    z.object({
      digest: z.string(),
      sizeBytes: z.int(),
      inUse: z.int(),
      lastUsedUnixMs: z.number(),
      /** False for what an earlier process left and nobody has used since. */
      isVerified: z.boolean(),
    }),
  ),
});
export type CacheReply = z.output<typeof cacheReplySchema>;

/** `POST /v1/prefetch`: bring this code to the node before anybody claims it. Claims go first, and a claim for it joins. */
export const prefetchRequestSchema = z.strictObject({
  code: codeSchema,
  peers: peersSchema.optional(),
  /** For a pool with credentials of its own. */
  grant: prefetchGrantSchema.optional(),
});
export type PrefetchRequest = z.output<typeof prefetchRequestSchema>;

export const prefetchStatusSchema = z.object({
  digest: z.string(),
  format: codeFormatSchema,
  /** As its grant said. */
  access: codeAccessSchema.optional(),
  state: z.enum(['queued', 'fetching', 'cached', 'failed']),
  receivedBytes: z.int(),
  /** As the store says; absent until it has answered. */
  sizeBytes: z.int().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type PrefetchStatus = z.output<typeof prefetchStatusSchema>;

/** `GET /v1/prefetch`: those under way and the last that ended. */
export const prefetchQuerySchema = z.strictObject({ digest: digestSchema.optional() });
export const prefetchListSchema = z.object({ items: z.array(prefetchStatusSchema) });
export type PrefetchList = z.output<typeof prefetchListSchema>;
