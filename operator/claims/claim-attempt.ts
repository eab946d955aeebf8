import type { KeyObject } from 'node:crypto';
import type { ClaimRequest, ClaimTimings } from '@warmpool/protocol/claim-api.ts';
import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import { LOAD_ERROR_CODES, type HostLoadReply, type HostLoadRequest } from '@warmpool/protocol/host-agent-api.ts';
import type { Runtime } from '@warmpool/protocol/fields.ts';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { Clock } from '../engine/clock.ts';
import { KubeError, type KubeClient, type OwnerReference } from '../engine/kube-client.ts';
import { claimStandby } from '../core/pod-transitions.ts';
import { WRITE_TIMEOUT_MS } from '../core/write-limits.ts';
import { isTerminating, type StoredPod } from '../core/pod-view.ts';
import { sidecarLoads } from '../core/sidecars.ts';
import { PODS, type Pod } from '../core/resources.ts';
import { ClaimError, claimError } from '../errors.ts';
import type { CodeSpread } from './code-spread.ts';
import { HostAgentError, type HostAgentClient } from './host-agent-client.ts';
import type { Retirement } from './retirement.ts';
import { signLoad } from './sign-grant.ts';
import type { Candidate } from './standby-index.ts';

export interface ClaimAttemptDeps {
  clock: Clock;
  kube: KubeClient;
  hostAgents: HostAgentClient;
  retirement: Retirement;
  spread: CodeSpread;
  grantKey: KeyObject;
  randomHex: (bytes: number) => string;
}

export interface AttemptInput {
  candidate: Candidate;
  request: ClaimRequest;
  runtime: Runtime;
  /** Of the pool; the grant says it, so that no forged load can name another pool's Secret. */
  access: CodeAccess | undefined;
  record: ClaimRecord;
  /** The WarmPoolClaim to hand the pod to, if the claim came from one. */
  owner: OwnerReference | undefined;
  deadlineMonotonicMs: number;
  /** The pod was created for this claim and already carries its record: only the load is left. */
  isWritten: boolean;
  /** The leadership under which this began is over: whose the pod is, who leads now decides from its record. */
  isTermOver: () => boolean;
  /** Called with the pod as soon as it is this claim's, while the load goes on; must not wait for anything. */
  onOwned: (pod: StoredPod) => void;
}

export type AttemptResult =
  | { kind: 'ready'; reply: HostLoadReply; phases: Pick<ClaimTimings, 'writeMs'> }
  /** This pod is used up; another may do. `error` is what to say if there is no time for another. */
  | { kind: 'next'; error: ClaimError }
  | { kind: 'fail'; error: ClaimError };

/**
 * Steps 4 to 6: one conditional write and one load, in parallel, on one pod. A pod for which not both succeeded is never used
 * again: it is killed and deleted before this returns, so that a claim never has two live instances.
 */
export async function attemptClaim(deps: ClaimAttemptDeps, input: AttemptInput): Promise<AttemptResult> {
  const { clock } = deps;
  const startedMs = clock.monotonic();
  const leftMs = Math.max(1, input.deadlineMonotonicMs - startedMs);
  // the write is sent first: it takes longer than the load, whose request takes its time to be signed
  if (input.isWritten) input.onOwned(input.candidate.pod);
  const write = input.isWritten ? Promise.resolve({ ok: true as const, writeMs: 0 }) : settleWrite(deps, input, leftMs);
  const load = settleLoad(deps, input, leftMs);
  const [loaded, written] = await Promise.all([load, write]);

  if (loaded.ok && written.ok) return { kind: 'ready', reply: loaded.value, phases: { writeMs: written.writeMs } };
  await giveUp(deps, input, loaded, written.ok);
  if (!loaded.ok) {
    const failure = loadFailure(loaded.error, input);
    if (failure.kind === 'fail' || written.ok) return failure;
  }
  return written.ok
    ? { kind: 'next', error: claimError('Internal', 'the claim failed') }
    : { kind: 'next', error: writeFailure(written.error, input) };
}

/** The host-agent keeps the deadline itself and says in words what was too slow; this much later it is taken for silent. */
const LOAD_GRACE_MS = 1_000;

type Settled<T> = { ok: true; value: T } | { ok: false; error: unknown };

function settle<T>(promise: Promise<T>): Promise<Settled<T>> {
  return promise.then(
    (value) => ({ ok: true, value }) as const,
    (error: unknown) => ({ ok: false, error }) as const,
  );
}

async function settleLoad(
  deps: ClaimAttemptDeps,
  input: AttemptInput,
  leftMs: number,
): Promise<Settled<HostLoadReply>> {
  const arrival = deps.spread.begin(input.request.code.digest, input.candidate.node);
  const result = await settle(sendLoad(deps, input, leftMs, arrival?.peers));
  arrival?.end(result.ok ? 'arrived' : 'failed');
  return result;
}

async function settleWrite(
  deps: ClaimAttemptDeps,
  input: AttemptInput,
  leftMs: number,
): Promise<{ ok: true; writeMs: number } | { ok: false; error: unknown }> {
  const startedMs = deps.clock.monotonic();
  const { namespace = '', name, uid } = input.candidate.pod.metadata;
  const patch = claimStandby(uid, input.record, input.owner);
  const result = await settle(
    deps.kube.patch<Pod>(PODS, namespace, name, patch, { timeoutMs: Math.min(WRITE_TIMEOUT_MS, leftMs) }),
  );
  if (!result.ok) return result;
  if (isTerminating(result.value)) return { ok: false, error: new KubeError(409, 'Conflict', 'it is being deleted') };
  const writeMs = deps.clock.monotonic() - startedMs;
  input.onOwned(result.value);
  return { ok: true, writeMs };
}

// async: a pod of which no load can be made is a failed load
async function sendLoad(
  deps: ClaimAttemptDeps,
  input: AttemptInput,
  leftMs: number,
  peers: string[] | undefined,
): Promise<HostLoadReply> {
  const request = hostLoad(deps, input, leftMs, peers);
  return deps.hostAgents.load(input.candidate.node, request, { timeoutMs: leftMs + LOAD_GRACE_MS });
}

function hostLoad(
  deps: ClaimAttemptDeps,
  input: AttemptInput,
  leftMs: number,
  peers: string[] | undefined,
): HostLoadRequest {
  const { candidate, request, record } = input;
  const nowUnixMs = deps.clock.now();
  const grant = {
    podUid: candidate.uid,
    epoch: candidate.epoch,
    claimId: request.claimId,
    fence: record.fence,
    ...(input.access !== undefined && { access: input.access }),
    expiresAtUnixMs: Math.ceil(nowUnixMs + leftMs),
    nonce: deps.randomHex(16),
  };
  return {
    grant: signLoad(deps.grantKey, grant),
    function: request.function,
    runtime: input.runtime,
    kind: request.kind,
    handler: request.handler,
    code: request.code,
    ...(peers !== undefined && { peers }),
    env: request.env,
    service: request.service,
    limits: request.limits,
    ...sidecarLoads(candidate.pod),
    deadlineUnixMs: Math.ceil(nowUnixMs + leftMs),
  };
}

/**
 * If the load was refused because somebody else's is in there, and our write did not succeed either, the pod is another claim's:
 * hands off. In every other case nobody but us can have loaded it.
 */
async function giveUp(
  deps: ClaimAttemptDeps,
  input: AttemptInput,
  loaded: Settled<HostLoadReply>,
  isWritten: boolean,
): Promise<void> {
  const isAnothers =
    !loaded.ok && loaded.error instanceof HostAgentError && loaded.error.code === 'PodNotStandby' && !isWritten;
  if (isAnothers || input.isTermOver()) return;
  await deps.retirement.retire(input.candidate.pod, 'the claim did not get through');
}

function loadFailure(error: unknown, input: AttemptInput): Exclude<AttemptResult, { kind: 'ready' }> {
  const { node, pod } = input.candidate;
  if (!(error instanceof HostAgentError)) {
    return {
      kind: 'next',
      error: claimError('Internal', `loading into pod ${pod.metadata.name} failed`, { cause: error }),
    };
  }
  const known = Object.hasOwn(LOAD_ERROR_CODES, error.code)
    ? LOAD_ERROR_CODES[error.code as keyof typeof LOAD_ERROR_CODES]
    : undefined;
  if (known === undefined) {
    const message = `the host-agent of node ${node} did not load pod ${pod.metadata.name}: ${error.message}`;
    return { kind: 'next', error: claimError('HostAgentUnavailable', message, { cause: error }) };
  }
  const told = new ClaimError(error.code, known.status, error.message, {
    phase: error.phase,
    userStack: error.userStack,
  });
  return { kind: known.fault === 'pod' ? 'next' : 'fail', error: told };
}

function writeFailure(error: unknown, input: AttemptInput): ClaimError {
  const { name } = input.candidate.pod.metadata;
  const words = error instanceof KubeError ? `${error.reason}: ${error.message}` : 'no answer';
  return claimError('KubernetesUnavailable', `pod ${name} could not be written as claimed (${words})`, {
    cause: error,
    retryAfterSeconds: 1,
  });
}
