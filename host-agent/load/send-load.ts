import type { HostLoadRequest } from '@warmpool/protocol/host-agent-api.ts';
import type { LoadReply } from '@warmpool/protocol/runtime-agent-api.ts';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import { ExchangeTimeout } from '@warmpool/wire/json-client.ts';
import type { Clock } from '../clock.ts';
import { agentRefusal, leavesPodUnusable } from '../core/agent-refusal.ts';
import type { HostAgentError } from '../errors.ts';
import { hostError, isHostError } from '../errors.ts';
import type { AgentAnswer } from '../pods/agent-client.ts';
import { isNeverSent } from '../pods/agent-client.ts';
import type { TrackedPod } from '../pods/tracked-pod.ts';

const CONNECT_RETRY_DELAYS_MS = [5, 20, 50];
/** The agent enforces the import's own limit and needs a moment to say so. */
const INIT_GRACE_MS = 1_000;

/** `POST /v1/load` of the runtime-agent. Whatever goes wrong after its first byte leaves the pod reported as failed. */
export async function sendLoad(
  { clock }: { clock: Clock },
  pod: TrackedPod,
  request: HostLoadRequest,
  codePath: string,
): Promise<LoadReply> {
  const remainingMs = request.deadlineUnixMs - clock.now();
  if (remainingMs <= 0) throw hostError.deadlineExceeded('its code was being delivered');
  const timeoutMs = Math.min(remainingMs, request.limits.initTimeoutMs + INIT_GRACE_MS);
  try {
    const answer = await callUntilConnected(clock, pod, request, codePath, timeoutMs);
    const reply = answer.statusCode === 200 ? loadReplySchema.safeParse(answer.body).data : undefined;
    if (reply === undefined) throw agentRefusal(pod.podUid, answer.statusCode, answer.body);
    if (reply.epoch !== request.grant.epoch || reply.claimId !== request.grant.claimId) {
      throw hostError.podLost(pod.podUid, 'another process answered the load');
    }
    return reply;
  } catch (error) {
    const isLate = error instanceof ExchangeTimeout;
    const refusal = isLate ? hostError.initTimeout(pod.podUid, timeoutMs) : asHostError(pod, error);
    if (leavesPodUnusable(refusal.code)) await pod.fail(refusal.message, refusal.code);
    throw refusal;
  }
}

/** A load whose bytes may have been read is never sent twice: the process accepts one in its life. */
async function callUntilConnected(
  clock: Clock,
  pod: TrackedPod,
  request: HostLoadRequest,
  codePath: string,
  timeoutMs: number,
): Promise<AgentAnswer> {
  const { grant, code, deadlineUnixMs: _deadline, sidecars: _sidecars, ...rest } = request;
  const body = { ...rest, claimId: grant.claimId, fence: grant.fence, code: { path: codePath, digest: code.digest } };
  const untilMs = clock.monotonic() + timeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await pod.call({ method: 'POST', path: '/v1/load', body, timeoutMs: untilMs - clock.monotonic() });
    } catch (error) {
      const delayMs = CONNECT_RETRY_DELAYS_MS[attempt];
      if (delayMs === undefined || !isNeverSent(error)) throw error;
      await clock.sleep(delayMs);
    }
  }
}

function asHostError(pod: TrackedPod, error: unknown): HostAgentError {
  if (isHostError(error)) return error;
  return hostError.podLost(pod.podUid, 'its process ended or broke the connection during the load', error);
}
