import PQueue from 'p-queue';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { Prefetch, PrefetchCodeRequest, PrefetchNode } from '@warmpool/protocol/prefetch-api.ts';
import { MAX_PREFETCH_NODES } from '@warmpool/protocol/prefetch-api.ts';
import type { CodeSpread } from '../claims/code-spread.ts';
import { findPool } from '../claims/find-pool.ts';
import type { NodeView } from '../claims/node-view.ts';
import { codeAccess, isSameAccess } from '../core/code-access.ts';
import { isStandbyLabelled, isTerminating, poolKey } from '../core/pod-view.ts';
import { choosePrefetchNodes, prefetchId, type PrefetchCandidate } from '../core/prefetch-plan.ts';
import type { Pod, WarmPool } from '../core/resources.ts';
import type { KubeClient, Stored } from '../engine/kube-client.ts';
import type { ObjectStore } from '../engine/store.ts';
import { claimError, notLeader } from '../errors.ts';
import { prefetchOnNode, type PrefetchOnNodeDeps } from './prefetch-on-node.ts';

export interface PrefetchServiceDeps extends PrefetchOnNodeDeps {
  kube: KubeClient;
  pods: ObjectStore<Pod>;
  pools: ObjectStore<WarmPool>;
  nodes: NodeView;
  spread: CodeSpread;
  servingTerm: () => number | undefined;
  /** A node has it, or will not have it. */
  onNodeEnded?: ((outcome: 'cached' | 'failed') => void) | undefined;
}

/** Nodes that are told to fetch at once, of all prefetches together. */
const NODES_AT_ONCE = 32;
const MAX_RUNNING = 100;
/** Ended ones can be asked about for so long, and so many of them. */
const REMEMBERED_MS = 60 * 60_000;
const MAX_REMEMBERED = 500;

interface Running {
  prefetch: Prefetch;
  request: PrefetchCodeRequest;
  access: CodeAccess | undefined;
  term: number;
  endedUnixMs: number | undefined;
}

/**
 * Brings code to many nodes before it is claimed, through what each host-agent does for one. What is known of it is in the leader's
 * memory: after a change of leadership nodes that were told go on, the others are told when it is asked for again.
 */
export class PrefetchService {
  readonly #deps: PrefetchServiceDeps;
  readonly #prefetches = new Map<string, Running>();
  readonly #queue = new PQueue({ concurrency: NODES_AT_ONCE });

  constructor(deps: PrefetchServiceDeps) {
    this.#deps = deps;
  }

  /** Of those that are under way. */
  get running(): number {
    let count = 0;
    for (const { endedUnixMs } of this.#prefetches.values()) if (endedUnixMs === undefined) count++;
    return count;
  }

  /** What is under way already is answered as it is; what has ended begins again. */
  async start(request: PrefetchCodeRequest): Promise<Prefetch> {
    const term = this.#requireServing();
    const id = prefetchId(request);
    const { nodes, access } = await this.#chooseNodes(request);
    this.#forgetOld(term);
    const known = this.#prefetches.get(id);
    if (known !== undefined && known.endedUnixMs === undefined) return sameSource(known, request, access);
    if (this.running >= MAX_RUNNING) {
      throw claimError('TooManyPrefetches', `${MAX_RUNNING} prefetches are under way: ask again when some have ended`, {
        retryAfterSeconds: 5,
      });
    }
    const running = this.#begin(id, { request, access }, nodes, term);
    this.#prefetches.delete(id);
    this.#prefetches.set(id, running);
    void this.#run(running);
    return running.prefetch;
  }

  get(id: string): Prefetch {
    this.#forgetOld(this.#requireServing());
    const found = this.#prefetches.get(id);
    if (found !== undefined) return found.prefetch;
    throw claimError(
      'PrefetchNotFound',
      `there is no prefetch ${id}, or not any more: POST /v1/prefetch tells how it is`,
    );
  }

  #begin(id: string, wish: Pick<Running, 'request' | 'access'>, nodes: string[], term: number): Running {
    const { request } = wish;
    const { digest, format } = request.code;
    const prefetch: Prefetch = {
      id,
      ...(request.namespace !== undefined && { namespace: request.namespace }),
      ...{ digest, format, state: 'running' },
      createdAt: new Date(this.#deps.clock.now()).toISOString(),
      ...{ cachedNodes: 0, failedNodes: 0 },
      nodes: nodes.map((node) => ({ node, state: 'waiting', receivedBytes: 0 })),
    };
    return { prefetch, ...wish, term, endedUnixMs: undefined };
  }

  async #run(running: Running): Promise<void> {
    const { prefetch } = running;
    await Promise.all(prefetch.nodes.map((item) => this.#queue.add(() => this.#bring(running, item))));
    running.endedUnixMs = this.#deps.clock.now();
    prefetch.endedAt = new Date(running.endedUnixMs).toISOString();
    prefetch.state = prefetch.failedNodes === 0 ? 'done' : 'failed';
  }

  /** Never rejects. */
  async #bring({ prefetch, request, access, term }: Running, item: PrefetchNode): Promise<void> {
    const { spread, servingTerm, onNodeEnded } = this.#deps;
    const arrival = spread.begin(request.code.digest, item.node);
    const isWanted = (): boolean => servingTerm() === term;
    const { code } = request;
    await prefetchOnNode(this.#deps, { code, access, peers: arrival?.peers, item, isWanted });
    const hasIt = item.state === 'cached';
    arrival?.end(hasIt ? 'arrived' : 'failed');
    if (hasIt) prefetch.cachedNodes++;
    else prefetch.failedNodes++;
    onNodeEnded?.(hasIt ? 'cached' : 'failed');
  }

  async #chooseNodes(request: PrefetchCodeRequest): Promise<{ nodes: string[]; access: CodeAccess | undefined }> {
    const { namespace, nodes: named, nodeCount = MAX_PREFETCH_NODES, code } = request;
    const { nodes } = this.#deps;
    const pools = namespace === undefined ? [] : await this.#poolsOf(namespace, request.pools);
    const access = sharedAccess(pools);
    const meant = namespace === undefined ? this.#namedNodes(named) : this.#nodesOfPools(pools);
    const holders = nodes.code.nodesWith(code.digest);
    const candidates = [...meant].map(([node, standbyPods]): PrefetchCandidate => ({
      node,
      standbyPods,
      hasCode: holders?.has(node) === true,
    }));
    if (candidates.length > 0) return { nodes: choosePrefetchNodes(candidates, nodeCount), access };
    const where = namespace === undefined ? 'no host-agent can be reached' : `no pod of these pools is on a node now`;
    throw claimError('NoNodes', `there is no node to bring code to: ${where}`, { retryAfterSeconds: 5 });
  }

  #namedNodes(named: string[] | undefined): Map<string, number> {
    const { nodes } = this.#deps;
    const unknown = named?.findIndex((node) => !nodes.isHeard(node)) ?? -1;
    if (named !== undefined && unknown !== -1) {
      const message = `is ${named[unknown]}, from whose host-agent nothing is heard`;
      throw claimError('InvalidRequest', `nodes.${unknown} ${message}`, {
        details: [{ field: `nodes.${unknown}`, message }],
      });
    }
    return new Map([...(named ?? nodes.nodes())].map((node) => [node, 0]));
  }

  async #poolsOf(namespace: string, names: string[] | undefined): Promise<Stored<WarmPool>[]> {
    if (names === undefined) {
      return this.#deps.pools.list().filter(({ metadata }) => metadata.namespace === namespace);
    }
    const found: Stored<WarmPool>[] = [];
    for (const name of new Set(names)) found.push(await findPool(this.#deps, namespace, name));
    return found;
  }

  /** With the standby pods that each of them has of these pools. */
  #nodesOfPools(pools: readonly Stored<WarmPool>[]): Map<string, number> {
    const { pods, nodes } = this.#deps;
    const found = new Map<string, number>();
    for (const { metadata } of pools) {
      for (const pod of pods.byIndex('pool', poolKey(metadata.namespace ?? '', metadata.name))) {
        const { nodeName } = pod.spec;
        if (nodeName === undefined || isTerminating(pod) || !nodes.isHeard(nodeName)) continue;
        found.set(nodeName, (found.get(nodeName) ?? 0) + (isStandbyLabelled(pod) ? 1 : 0));
      }
    }
    return found;
  }

  #requireServing(): number {
    const term = this.#deps.servingTerm();
    if (term === undefined) throw notLeader();
    return term;
  }

  #forgetOld(term: number): void {
    const untilUnixMs = this.#deps.clock.now() - REMEMBERED_MS;
    for (const [id, running] of this.#prefetches) {
      const isOld = running.endedUnixMs !== undefined && running.endedUnixMs < untilUnixMs;
      if (running.term !== term || isOld) this.#prefetches.delete(id);
    }
    for (const [id, { endedUnixMs }] of this.#prefetches) {
      if (this.#prefetches.size <= MAX_REMEMBERED) return;
      if (endedUnixMs !== undefined) this.#prefetches.delete(id);
    }
  }
}

/** One fetch for all of them, so they must agree on with what. */
function sharedAccess([first, ...others]: readonly Stored<WarmPool>[]): CodeAccess | undefined {
  const access = first && codeAccess(first);
  const other = others.find((pool) => !isSameAccess(codeAccess(pool), access));
  if (first === undefined || other === undefined) return access;
  const message = `must be pools with the same spec.code, and ${first.metadata.name} and ${other.metadata.name} differ: ask once for each`;
  throw claimError('InvalidRequest', `pools: ${message}`, { details: [{ field: 'pools', message }] });
}

function sameSource(
  { prefetch, request, access }: Running,
  { code }: PrefetchCodeRequest,
  wanted: CodeAccess | undefined,
): Prefetch {
  const isSame = request.code.url === code.url && request.code.key === code.key && isSameAccess(access, wanted);
  if (isSame) return prefetch;
  throw claimError(
    'PrefetchConflict',
    `${code.digest} is on its way to these nodes from another source: ask again when prefetch ${prefetch.id} has ended`,
  );
}
