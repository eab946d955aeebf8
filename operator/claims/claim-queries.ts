import type { Claim, KillRequest, PoolSummary } from '@warmpool/protocol/claim-api.ts';
import type { BatchKillReply } from '@warmpool/protocol/host-agent-api.ts';
import type { LogsReply } from '@warmpool/protocol/runtime-agent-api.ts';
import { isClaimed, poolKey } from '../core/pod-view.ts';
import type { Pod, WarmPool } from '../core/resources.ts';
import type { ObjectStore } from '../engine/store.ts';
import { claimError, ClaimError, notLeader } from '../errors.ts';
import type { ClaimLedger, LedgerEntry } from './claim-ledger.ts';
import { HostAgentError, type HostAgentClient } from './host-agent-client.ts';
import type { Inventory } from './inventory.ts';

export interface ClaimQueriesDeps {
  pools: ObjectStore<WarmPool>;
  pods: ObjectStore<Pod>;
  ledger: ClaimLedger;
  inventory: Inventory;
  hostAgents: HostAgentClient;
  servingTerm: () => number | undefined;
}

const NODE_TIMEOUT_MS = 5_000;

/** What can be asked about claims and pools, and what can be done to a running instance short of ending it. */
export class ClaimQueries {
  readonly #deps: ClaimQueriesDeps;

  constructor(deps: ClaimQueriesDeps) {
    this.#deps = deps;
  }

  get(namespace: string, claimId: string): Claim {
    return this.#entry(namespace, claimId).claim;
  }

  /** In order of claim id; `continue` is the last id of the page before. */
  list(
    namespace: string,
    pool: string,
    limit: number,
    from: string | undefined,
  ): { items: Claim[]; continue?: string } {
    this.#requireServing();
    const items = this.#claimsOf(namespace, pool)
      .filter((claim) => from === undefined || claim.claimId > from)
      .sort((a, b) => (a.claimId < b.claimId ? -1 : 1));
    const page = items.slice(0, limit);
    const last = page.at(-1);
    return { items: page, ...(items.length > limit && last !== undefined && { continue: last.claimId }) };
  }

  /** Calls `listener` for each claim now and for each change, until the returned function is called. */
  watch(namespace: string, pool: string, listener: (claim: Claim) => void): () => void {
    this.#requireServing();
    for (const claim of this.#claimsOf(namespace, pool)) listener(claim);
    return this.#deps.ledger.onChange((entry) => {
      if (entry.namespace === namespace && entry.pool === pool) listener(entry.claim);
    });
  }

  pools(): PoolSummary[] {
    return this.#deps.pools.list().map((pool) => {
      const namespace = pool.metadata.namespace ?? '';
      const key = poolKey(namespace, pool.metadata.name);
      return {
        namespace,
        name: pool.metadata.name,
        runtime: pool.spec.runtime,
        replicas: pool.spec.replicas,
        readyReplicas: this.#deps.inventory.index.size(key),
        claimedReplicas: this.#deps.pods.byIndex('pool', key).filter(isClaimed).length,
        queuedClaims: this.#deps.inventory.queuedClaims(key),
      };
    });
  }

  async logs(
    namespace: string,
    claimId: string,
    query: { requestId?: string | undefined; limitBytes: number },
  ): Promise<LogsReply> {
    const { podUid, node } = this.#instance(this.#entry(namespace, claimId));
    return this.#ask(() => this.#deps.hostAgents.logs(node, podUid, query, { timeoutMs: NODE_TIMEOUT_MS }));
  }

  /** Ends one request of an instance. */
  async kill(namespace: string, claimId: string, request: KillRequest): Promise<BatchKillReply['items'][number]> {
    const { podUid, node } = this.#instance(this.#entry(namespace, claimId));
    return this.#ask(() =>
      this.#deps.hostAgents.kill(node, podUid, request, { timeoutMs: NODE_TIMEOUT_MS + request.graceMs }),
    );
  }

  #claimsOf(namespace: string, pool: string): Claim[] {
    const claims: Claim[] = [];
    for (const entry of this.#deps.ledger.entries()) {
      if (entry.namespace === namespace && entry.pool === pool) claims.push(entry.claim);
    }
    return claims;
  }

  #entry(namespace: string, claimId: string): LedgerEntry {
    this.#requireServing();
    const entry = this.#deps.ledger.get(namespace, claimId);
    if (entry === undefined)
      throw claimError('ClaimNotFound', `there is no claim ${claimId} in namespace ${namespace}`);
    return entry;
  }

  #instance(entry: LedgerEntry): { podUid: NonNullable<LedgerEntry['podUid']>; node: string } {
    const { podUid, claim } = entry;
    if (podUid === undefined || claim.pod === undefined) {
      throw claimError('ClaimNotFound', `claim ${entry.claimId} is ${claim.state} and has no instance`);
    }
    return { podUid, node: claim.pod.node };
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof HostAgentError)) throw error;
      if (error.status >= 400 && error.status < 500) throw new ClaimError(error.code, error.status, error.message);
      throw claimError('HostAgentUnavailable', `the host-agent did not answer: ${error.message}`, { cause: error });
    }
  }

  #requireServing(): void {
    if (this.#deps.servingTerm() === undefined) throw notLeader();
  }
}
