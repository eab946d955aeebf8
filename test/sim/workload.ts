import { claimRequestSchema, type ClaimRequest } from '@warmpool/protocol/claim-api.ts';
import { ClaimClient, type ClaimClientDeps, type ClaimPlan } from './claim-client.ts';
import { BROKEN_FUNCTION } from './host-agent.ts';
import type { Prng } from './prng.ts';
import type { ClaimFacts } from './truth.ts';

/** What clients want over the time of one world. */
export function drawClients(
  deps: ClaimClientDeps,
  namespace: string,
  pools: readonly string[],
  count: number,
  overMs: number,
): ClaimClient[] {
  const { random } = deps;
  return Array.from({ length: count }, (_, index) => {
    const facts = drawFacts(random, `c${index}`, namespace, random.pick(pools));
    deps.truth.claims.set(facts.request.claimId, facts);
    return new ClaimClient(deps, facts, drawPlan(random, overMs));
  });
}

/** A client that wants nothing but an instance, at the end, when nothing stands in its way. */
export function plainClient(deps: ClaimClientDeps, claimId: string, namespace: string, pool: string): ClaimClient {
  const facts = claimFacts(claimRequest(claimId, 'plain', 'acme', 0, 0, 30_000), namespace, pool);
  deps.truth.claims.set(claimId, facts);
  const plan = { startMs: 0, isDoubled: false, cancelAfterMs: undefined, retriesAfterCancel: false } as const;
  return new ClaimClient(deps, facts, { ...plan, asksAgain: 0, holdMs: 1_000, end: 'release' });
}

function drawFacts(random: Prng, claimId: string, namespace: string, pool: string): ClaimFacts {
  const name = random.chance(0.06) ? BROKEN_FUNCTION : random.pick(['resize', 'greet']);
  const ttlSeconds = random.pick([0, 0, 0, 20]);
  const idleSeconds = random.pick([0, 0, 0, 15]);
  const deadlineMs = random.pick([4_000, 12_000, 30_000]);
  const tenant = random.pick(['acme', 'globex']);
  return claimFacts(claimRequest(claimId, name, tenant, ttlSeconds, idleSeconds, deadlineMs), namespace, pool);
}

function claimFacts(request: ClaimRequest, namespace: string, pool: string): ClaimFacts {
  const history = { answers: [], releaseSentAtMs: undefined, wantsKeepWarm: false, outcome: undefined };
  return { request, namespace, pool, ...history };
}

function claimRequest(
  claimId: string,
  name: string,
  tenant: string,
  ttlSeconds: number,
  idleTimeoutSeconds: number,
  deadlineMs: number,
): ClaimRequest {
  return claimRequestSchema.parse({
    claimId,
    function: { name, version: '1', tenant },
    code: { key: `functions/${name}.tar.gz`, digest: `sha256:${'a'.repeat(64)}`, format: 'tar.gz' },
    handler: 'index.handler',
    env: { GREETING: 'hello' },
    deadlineMs,
    ttlSeconds,
    idleTimeoutSeconds,
  });
}

function drawPlan(random: Prng, overMs: number): ClaimPlan {
  return {
    // bursts and single ones
    startMs: Math.floor(random.next() * 8) * (overMs / 8) + (random.chance(0.5) ? 0 : random.next() * 5_000),
    isDoubled: random.chance(0.2),
    cancelAfterMs: random.chance(0.25) ? random.pick([1, 20, 100, 1_000, 6_000]) : undefined,
    retriesAfterCancel: random.chance(0.6),
    asksAgain: random.pick([0, 0, 1, 2]),
    holdMs: random.int(100, 30_000),
    end: random.pick(['release', 'release', 'keepWarm', 'none']),
  };
}
