import type { FastifyInstance } from 'fastify';
import PQueue from 'p-queue';
import { z } from 'zod';
import { logsQuerySchema } from '@warmpool/protocol/claim-api.ts';
import { podUidSchema } from '@warmpool/protocol/fields.ts';
import type { BatchKillReply, BatchStatusReply } from '@warmpool/protocol/host-agent-api.ts';
import { batchKillRequestSchema, batchStatusRequestSchema } from '@warmpool/protocol/host-agent-api.ts';
import { killReplySchema, logsReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import { hostError } from '../errors.ts';
import type { PodRegistry } from '../pods/pod-registry.ts';
import type { TrackedPod } from '../pods/tracked-pod.ts';
import { parse } from './server.ts';

const STATUS_TIMEOUT_MS = 1_000;
/** On top of the grace that the request itself gives. */
const KILL_TIMEOUT_MS = 2_000;
const LOGS_TIMEOUT_MS = 3_000;
const BATCH_CONCURRENCY = 32;

const podParamsSchema = z.object({ podUid: podUidSchema });
type KillItem = z.output<typeof batchKillRequestSchema>['items'][number];

/** Status, kill and logs: passed on to the agents, each call with its own deadline, so that one stuck pod costs nobody else. */
export function addPodRoutes(app: FastifyInstance, { pods }: { pods: PodRegistry }): void {
  const calls = new PQueue({ concurrency: BATCH_CONCURRENCY });

  // "::" is fastify's way to write a ":" that is no parameter
  app.post('/v1/status::batchGet', async (request): Promise<BatchStatusReply> => {
    const { podUids } = parse(batchStatusRequestSchema, request.body);
    return { items: await calls.addAll(podUids.map((podUid) => () => statusItem(podUid, pods.find(podUid)))) };
  });

  app.post('/v1/kill::batch', async (request): Promise<BatchKillReply> => {
    const { items } = parse(batchKillRequestSchema, request.body);
    return { items: await calls.addAll(items.map((item) => () => killItem(item, pods.find(item.podUid)))) };
  });

  app.get('/v1/pods/:podUid/logs', async (request) => {
    const { podUid } = parse(podParamsSchema, request.params);
    const query = parse(logsQuerySchema, request.query);
    return readLogs(pods.get(podUid), query);
  });
}

async function statusItem(
  podUid: KillItem['podUid'],
  pod: TrackedPod | undefined,
): Promise<BatchStatusReply['items'][number]> {
  if (pod === undefined) return { podUid, found: false };
  const status = await pod.status(STATUS_TIMEOUT_MS).catch(() => undefined);
  return { podUid, found: true, ...(status === undefined ? {} : { status }) };
}

async function killItem(
  { podUid, ...kill }: KillItem,
  pod: TrackedPod | undefined,
): Promise<BatchKillReply['items'][number]> {
  if (pod === undefined) {
    const { status, message } = hostError.podUnknown(podUid);
    return { podUid, statusCode: status, state: 'unknown', message };
  }
  try {
    const { statusCode, body } = await pod.kill(kill, kill.graceMs + KILL_TIMEOUT_MS);
    const reply = killReplySchema.partial().extend({ message: z.string().optional() }).safeParse(body).data;
    const message = reply?.message;
    return { podUid, statusCode, state: reply?.state ?? 'unknown', ...(message === undefined ? {} : { message }) };
  } catch {
    const { status, message } = hostError.podLost(podUid, 'neither its agent nor a watchdog answers the kill');
    return { podUid, statusCode: status, state: pod.report?.state ?? 'unknown', message };
  }
}

async function readLogs(pod: TrackedPod, query: z.output<typeof logsQuerySchema>): Promise<unknown> {
  const search = new URLSearchParams({ limitBytes: String(query.limitBytes) });
  if (query.requestId !== undefined) search.set('requestId', query.requestId);
  const answer = await pod
    .call({ method: 'GET', path: `/v1/logs?${search.toString()}`, timeoutMs: LOGS_TIMEOUT_MS })
    .catch((error: unknown) => {
      throw hostError.podLost(pod.podUid, `its agent does not give its logs within ${LOGS_TIMEOUT_MS} ms`, error);
    });
  const logs = logsReplySchema.safeParse(answer.body).data;
  if (answer.statusCode !== 200 || logs === undefined) {
    throw hostError.podLost(pod.podUid, `its agent answers ${answer.statusCode} to the request for logs`);
  }
  return logs;
}
