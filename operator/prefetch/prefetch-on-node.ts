import type { KeyObject } from 'node:crypto';
import type { CodeReference } from '@warmpool/protocol/fields.ts';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { PrefetchStatus } from '@warmpool/protocol/host-agent-api.ts';
import type { PrefetchNode } from '@warmpool/protocol/prefetch-api.ts';
import { HostAgentError, type HostAgentClient } from '../claims/host-agent-client.ts';
import { signPrefetch } from '../claims/sign-grant.ts';
import { isSameAccess } from '../core/code-access.ts';
import { sleep, type Clock } from '../engine/clock.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';

export interface PrefetchOnNodeDeps {
  clock: Clock;
  random: Random;
  hostAgents: HostAgentClient;
  grantKey: KeyObject;
  randomHex: (bytes: number) => string;
}

export interface NodePrefetch {
  code: CodeReference;
  /** Of the pools whose nodes these are. */
  access: CodeAccess | undefined;
  peers: string[] | undefined;
  /** Kept up to date. */
  item: PrefetchNode;
  /** False when this process does not lead any more. */
  isWanted: () => boolean;
}

const CALL_TIMEOUT_MS = 5_000;
/** A grant for one call, however the clocks differ a little. */
const GRANT_LIFE_MS = 60_000;
const FIRST_LOOK_MS = 50;
const LOOK_EVERY_MS = 1_000;
/** In a row; a host-agent that is replaced is back within them. */
const MAX_FAILURES = 8;
/** Longer than a host-agent takes for one at most (10 min), its queue included. */
const LIMIT_MS = 30 * 60_000;

/** Until the node has the code, or says that it cannot have it, or is given up. Never rejects. */
export async function prefetchOnNode(deps: PrefetchOnNodeDeps, wish: NodePrefetch): Promise<void> {
  const { clock, random } = deps;
  const { item, isWanted } = wish;
  const untilMs = clock.monotonic() + LIMIT_MS;
  const never = new AbortController().signal;
  let isTold = false;
  let failures = 0;
  for (let looks = 0; ; looks++) {
    if (!isWanted()) return fail(item, 'NotLeader', 'another operator replica leads now; ask it again');
    if (clock.monotonic() > untilMs) return fail(item, 'DeadlineExceeded', `not there after ${LIMIT_MS / 60_000} min`);
    try {
      const status: PrefetchStatus | undefined = isTold ? await look(deps, wish) : await tell(deps, wish);
      failures = 0;
      // a host-agent that was replaced meanwhile knows nothing of it
      isTold = status !== undefined;
      if (status !== undefined) Object.assign(item, progressOf(status));
      if (item.state === 'cached' || item.state === 'failed') return;
      await sleep(clock, Math.min(LOOK_EVERY_MS, FIRST_LOOK_MS * 2 ** looks) * (0.75 + random() / 2), never);
    } catch (error) {
      const { code, message } = toldError(error);
      if (++failures > MAX_FAILURES || isFinal(error)) return fail(item, code, message);
      await sleep(clock, jitteredBackoffMs(failures, 250, 5_000, random), never);
    }
  }
}

function tell(deps: PrefetchOnNodeDeps, { code, access, peers, item }: NodePrefetch): Promise<PrefetchStatus> {
  const { clock, hostAgents, grantKey, randomHex } = deps;
  const grant = access && {
    access,
    expiresAtUnixMs: Math.ceil(clock.now()) + GRANT_LIFE_MS,
    nonce: randomHex(16),
  };
  const request = {
    code,
    ...(peers !== undefined && { peers }),
    ...(grant !== undefined && { grant: signPrefetch(grantKey, code.digest, grant) }),
  };
  return hostAgents.prefetch(item.node, request, { timeoutMs: CALL_TIMEOUT_MS });
}

async function look(
  { hostAgents }: PrefetchOnNodeDeps,
  { code, access, item }: NodePrefetch,
): Promise<PrefetchStatus | undefined> {
  const { items } = await hostAgents.prefetches(item.node, code.digest, { timeoutMs: CALL_TIMEOUT_MS });
  return items.find((each) => each.format === code.format && isSameAccess(each.access, access));
}

function progressOf({ state, receivedBytes, sizeBytes, error }: PrefetchStatus): Partial<PrefetchNode> {
  return { state, receivedBytes, ...(sizeBytes !== undefined && { sizeBytes }), ...(error !== undefined && { error }) };
}

/** The request is wrong, or its node has no host-agent: another try changes nothing. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof HostAgentError)) return true;
  return error.code === 'UnknownNode' || (error.status >= 400 && error.status < 429);
}

function toldError(error: unknown): { code: string; message: string } {
  if (error instanceof HostAgentError) return { code: error.code, message: error.message };
  return { code: 'Internal', message: 'something went wrong in the operator; its log says what' };
}

function fail(item: PrefetchNode, code: string, message: string): void {
  item.state = 'failed';
  item.error = { code, message };
}
