import { z } from 'zod';
import { errorBodySchema } from '../errors.ts';
import { podUidSchema, requestIdSchema } from '../fields.ts';
import {
  batchKillReplySchema,
  batchKillRequestSchema,
  batchStatusReplySchema,
  batchStatusRequestSchema,
  cacheReplySchema,
  prefetchListSchema,
  prefetchQuerySchema,
  prefetchRequestSchema,
  prefetchStatusSchema,
  hostLoadReplySchema,
  hostLoadRequestSchema,
  loadGrantSchema,
  nodeEventSchema,
  podReportSchema,
} from '../host-agent-api.ts';
import {
  agentKillRequestSchema,
  healthReplySchema,
  killReplySchema,
  loadReplySchema,
  loadRequestSchema,
  logsReplySchema,
  statusReplySchema,
} from '../runtime-agent-api.ts';
import { json, type ApiDescription, type Reply } from './routes.ts';

const fails = (description: string): Reply => json(description, errorBodySchema);

const logsQuery = z.object({
  requestId: requestIdSchema.optional(),
  limitBytes: z.int().min(1).max(1_048_576).optional(),
});

/** What the operator calls on each node. */
export const HOST_AGENT_API: ApiDescription = {
  title: 'Warmpool host-agent API',
  description:
    'Code cache, delivery, load, status, logs and kill for the pods of one node. Called by the operator only.',
  components: {
    HostLoadRequest: hostLoadRequestSchema,
    HostLoadReply: hostLoadReplySchema,
    LoadGrant: loadGrantSchema,
    PodReport: podReportSchema,
    NodeEvent: nodeEventSchema,
    Status: statusReplySchema,
    Logs: logsReplySchema,
  },
  routes: [
    {
      method: 'post',
      path: '/v1/load',
      operationId: 'loadPod',
      summary: 'Deliver code to a standby pod and load it',
      request: { schema: hostLoadRequestSchema },
      replies: {
        200: json('Loaded and ready.', hostLoadReplySchema),
        400: fails('The request is wrong.'),
        403: fails('The grant is not valid for this pod and process, or the source is not allowed.'),
        404: fails('No such pod on this node, or no such code object.'),
        409: fails('The pod is not standby.'),
        412: fails('The pod serves another runtime.'),
        422: fails('The code is at fault.'),
        502: fails('The code store or the pod failed.'),
        503: fails('This host-agent is shutting down.'),
        504: fails('The deadline passed, or the code was not ready within its init timeout.'),
        507: fails('The code does not fit beside what is in use.'),
      },
    },
    {
      method: 'get',
      path: '/v1/events',
      operationId: 'watchNode',
      summary: 'Follow the pods and the code cache of this node',
      description: 'Newline-delimited JSON without end: a SNAPSHOT first, then each change, a PING at least every 2 s.',
      replies: {
        200: { description: 'One event a line.', content: { 'application/x-ndjson': nodeEventSchema } },
      },
    },
    {
      method: 'post',
      path: '/v1/status:batchGet',
      operationId: 'batchStatus',
      summary: 'Read the status of many pods',
      request: { schema: batchStatusRequestSchema },
      replies: { 200: json('One item a pod.', batchStatusReplySchema), 400: fails('The request is wrong.') },
    },
    {
      method: 'post',
      path: '/v1/kill:batch',
      operationId: 'batchKill',
      summary: 'End requests or whole instances',
      request: { schema: batchKillRequestSchema },
      replies: { 200: json('One item a pod.', batchKillReplySchema), 400: fails('The request is wrong.') },
    },
    {
      method: 'get',
      path: '/v1/pods/{podUid}/logs',
      operationId: 'readPodLogs',
      summary: 'Read what the function in a pod wrote',
      params: z.object({ podUid: podUidSchema }),
      query: logsQuery,
      replies: { 200: json('Lines, oldest first.', logsReplySchema), 404: fails('No such pod on this node.') },
    },
    {
      method: 'get',
      path: '/v1/cache',
      operationId: 'readCache',
      summary: 'Read what the code cache holds',
      replies: { 200: json('The entries.', cacheReplySchema) },
    },
    {
      method: 'post',
      path: '/v1/prefetch',
      operationId: 'prefetch',
      summary: 'Bring code to this node before it is claimed',
      request: { schema: prefetchRequestSchema },
      replies: {
        202: json('Queued, under way or there already.', prefetchStatusSchema),
        400: fails('The request is wrong.'),
        429: fails('Too many are waiting.'),
      },
    },
    {
      method: 'get',
      path: '/v1/prefetch',
      operationId: 'listPrefetches',
      summary: 'Read how far prefetches are',
      query: prefetchQuerySchema,
      replies: { 200: json('Those under way, and the last that ended.', prefetchListSchema) },
    },
  ],
};

/** What the host-agent calls in each pod; docs/runtime-contract.md is the prose. */
export const RUNTIME_AGENT_API: ApiDescription = {
  title: 'Warmpool runtime contract',
  description: 'HTTP on a unix socket, served by the process that is to run the function.',
  components: {
    LoadRequest: loadRequestSchema,
    LoadReply: loadReplySchema,
    Health: healthReplySchema,
    Status: statusReplySchema,
    KillRequest: agentKillRequestSchema,
    KillReply: killReplySchema,
    Logs: logsReplySchema,
  },
  routes: [
    {
      method: 'post',
      path: '/v1/load',
      operationId: 'load',
      summary: 'Become an instance of this function version, once',
      request: { schema: loadRequestSchema },
      replies: {
        200: json('The handler, or the listening port, is there.', loadReplySchema),
        400: fails('The request is wrong.'),
        409: fails('Something else was loaded or is loading, or the fence is lower than one seen.'),
        410: fails('The process is ending.'),
        412: fails('Another runtime than the pool serves.'),
        413: fails('The body is too large.'),
        415: fails('The body is not sent as `application/json`.'),
        422: fails('The code failed, or has no such handler.'),
        504: fails('Not ready within `limits.initTimeoutMs`.'),
      },
    },
    {
      method: 'get',
      path: '/v1/health',
      operationId: 'health',
      summary: 'Ask for the state',
      query: z.object({ probe: z.literal('ready').optional() }),
      replies: {
        200: json('The state.', healthReplySchema),
        503: json('With `probe=ready`: neither standby, ready nor busy.', healthReplySchema),
      },
    },
    {
      method: 'get',
      path: '/v1/status',
      operationId: 'status',
      summary: 'Ask for everything that is known about the process and its requests',
      query: z.object({ requestId: requestIdSchema.optional() }),
      replies: { 200: json('The status.', statusReplySchema), 404: fails('No such request.') },
    },
    {
      method: 'post',
      path: '/v1/invoke',
      operationId: 'invoke',
      summary: 'Call the handler',
      description: 'Any content type in and out; see the contract for how bodies, results and headers are mapped.',
      request: { schema: z.unknown(), isRequired: false },
      replies: {
        200: { description: 'What the handler returned.' },
        204: { description: 'The handler returned nothing.' },
        400: fails('The request is wrong.'),
        409: fails('A request with that id is queued or running.'),
        410: fails('The process is ending.'),
        413: fails('The body is too large.'),
        425: fails('Nothing is loaded.'),
        429: fails('Too many requests wait.'),
        502: fails('The handler failed, or the request was killed.'),
        504: fails('The deadline passed.'),
      },
    },
    {
      method: 'post',
      path: '/v1/kill',
      operationId: 'kill',
      summary: 'End one request, or the process',
      request: { schema: agentKillRequestSchema },
      replies: {
        200: json('It had already ended.', killReplySchema),
        202: json('Under way.', killReplySchema),
        404: fails('No such request.'),
      },
    },
    {
      method: 'get',
      path: '/v1/logs',
      operationId: 'logs',
      summary: 'Read what user code wrote',
      query: logsQuery,
      replies: { 200: json('Lines, oldest first.', logsReplySchema) },
    },
  ],
};
