import { z } from 'zod';
import {
  claimIdSchema,
  concurrencySchema,
  digestSchema,
  envSchema,
  functionKindSchema,
  functionSchema,
  handlerSchema,
  requestIdSchema,
  runtimeSchema,
  serviceMetadataSchema,
} from './fields.ts';

/**
 * The contract of the process in each pod: HTTP on a unix socket. docs/runtime-contract.md is the prose, generated with
 * these schemas in it; any runtime that keeps it can serve a pool.
 */

/** What `contract` says in health, status and manifest. The page says what may change under this number. */
export const CONTRACT_VERSION = '1.0';
/** Read tolerantly: a runtime that does not say keeps 1.0. */
const contractSchema = z.string().default(CONTRACT_VERSION);

/** `booting → standby → loading → ready ⇄ busy → draining → terminated`; `failed` is final. */
export const agentStateSchema = z.enum([
  'booting',
  'standby',
  'loading',
  'ready',
  'busy',
  'draining',
  'terminated',
  'failed',
]);
export type AgentState = z.output<typeof agentStateSchema>;

/** `POST /v1/load`: accepted once in a process's life; the same claim and digest again gives the same answer. */
export const loadRequestSchema = z.strictObject({
  claimId: claimIdSchema,
  /** The operator's term. A load with a lower fence than one seen is refused with 409. */
  fence: z.int().min(0),
  function: functionSchema,
  runtime: runtimeSchema,
  kind: functionKindSchema,
  handler: handlerSchema,
  code: z.strictObject({ path: z.string().min(1).max(4096), digest: digestSchema }),
  /** Replaces the whole environment but for the allow-list of the contract. */
  env: envSchema,
  service: serviceMetadataSchema,
  limits: z.strictObject({
    requestTimeoutMs: z.int().min(1),
    initTimeoutMs: z.int().min(1),
    /** Requests that may run at once; absent means one. The reply says how many the runtime will run. */
    concurrency: concurrencySchema.optional(),
  }),
});
export type LoadRequest = z.output<typeof loadRequestSchema>;

export const loadReplySchema = z.object({
  state: z.literal('ready'),
  claimId: z.string(),
  epoch: z.string(),
  /** The TCP port that serves the function, on the address that the process was started with. */
  port: z.int(),
  /** Requests that run at once: `limits.concurrency`, or less where the language cannot do it; absent means one. */
  concurrency: z.int().min(1).optional(),
  timings: z.object({
    /** Importing the module until its exports are there. */
    importMs: z.number(),
    /** From the parsed request to the answer. */
    totalMs: z.number(),
  }),
});
export type LoadReply = z.output<typeof loadReplySchema>;

/** `GET /v1/health`; with `?probe=ready` the status is 503 outside standby, ready and busy. */
export const healthReplySchema = z.object({ contract: contractSchema, state: agentStateSchema, epoch: z.string() });

export const requestStateSchema = z.enum([
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'timed_out',
  'lost',
]);

/** `GET /v1/status[?requestId=]` */
export const statusReplySchema = z.object({
  contract: contractSchema,
  state: agentStateSchema,
  /** New for each process; with `seq`, orders what was seen. */
  epoch: z.string(),
  seq: z.int(),
  sinceUnixMs: z.number(),
  claimId: z.string().optional(),
  digest: z.string().optional(),
  fence: z.int().optional(),
  /** The address that the process was started to serve on; on Kubernetes nobody else knows it as early. */
  host: z.string().optional(),
  port: z.int().optional(),
  runtime: z.object({ name: z.string(), version: z.string() }),
  pid: z.int(),
  uptimeMs: z.number(),
  inFlight: z.int(),
  executions: z.int(),
  /** When the last request ended, or when the instance became ready. */
  idleSinceUnixMs: z.number().optional(),
  rssMiB: z.number(),
  lastError: z.object({ code: z.string(), message: z.string() }).optional(),
  /** The last 100 requests, newest last. */
  requests: z.array(
    z.object({
      id: z.string(),
      state: requestStateSchema,
      startedAtUnixMs: z.number(),
      endedAtUnixMs: z.number().optional(),
      exitReason: z.string().optional(),
    }),
  ),
});
export type StatusReply = z.output<typeof statusReplySchema>;

/** `POST /v1/kill`: one request by `requestId`, or the whole process without it. 202 under way, 200 already ended, 404 unknown. */
export const agentKillRequestSchema = z.strictObject({
  requestId: requestIdSchema.optional(),
  mode: z.enum(['graceful', 'force']).default('graceful'),
  graceMs: z.int().min(0).max(60_000).default(1_000),
  reason: z.string().max(256).default(''),
});
export type AgentKillRequest = z.output<typeof agentKillRequestSchema>;
export const killReplySchema = z.object({ requestId: z.string().optional(), state: z.string() });

export const logLineSchema = z.object({
  seq: z.int(),
  timeUnixMs: z.number(),
  stream: z.enum(['stdout', 'stderr']),
  requestId: z.string().optional(),
  text: z.string(),
});
/** `GET /v1/logs[?requestId=][&limitBytes=]`: oldest first; `truncated` when older lines had to go. */
export const logsReplySchema = z.object({ lines: z.array(logLineSchema), truncated: z.boolean() });
export type LogsReply = z.output<typeof logsReplySchema>;

export const terminationReasonSchema = z.enum([
  'InitTimeout',
  'RequestTimeout',
  'UserCodeError',
  'HandlerNotFound',
  'ListenFailed',
  'Crashed',
  'Exited',
  'Killed',
  'BootFailed',
]);
/** `termination.json` beside the socket, written before every abnormal end. */
export const terminationSchema = z.object({
  reason: terminationReasonSchema,
  message: z.string(),
  requestId: z.string().optional(),
  atUnixMs: z.number(),
});

/**
 * `bootstrap/<language>/runtime.json`: how a runtime-agent process is started. A new language is a new folder with one.
 * `command[0]` may be `{node}`; relative arguments ending in a file name are resolved against the folder.
 */
export const runtimeManifestSchema = z.strictObject({
  name: z.string(),
  contract: z.literal(CONTRACT_VERSION).default(CONTRACT_VERSION),
  /**
   * Run to see whether the runtime is there; its output must match `versionPattern`: group 1 is the version, and a group named
   * `executable`, if there is one, takes the place of `command[0]`.
   */
  probe: z.array(z.string()).min(1),
  versionPattern: z.string(),
  command: z.array(z.string()).min(1),
});
export type RuntimeManifest = z.output<typeof runtimeManifestSchema>;

/** Names kept from the container's own environment when a load replaces the rest. */
export const ENV_ALLOW_LIST = ['PATH', 'HOME', 'TMPDIR', 'TZ', 'LANG', 'LC_ALL'] as const;
