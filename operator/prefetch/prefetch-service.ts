import PQueue from 'p-queue';
import type { Prefetch, PrefetchCodeRequest, PrefetchNode } from '@warmpool/protocol/prefetch-api.ts';
import { MAX_PREFETCH_NODES } from '@warmpool/protocol/prefetch-api.ts';
import type { CodeSpread } from '../claims/code-spread.ts';
import { findPool } from '../claims/find-pool.ts';
import type { NodeView } from '../claims/node-view.ts';
import { isStandbyLabelled, isTerminating, poolKey } from '../core/pod-view.ts';
import { choosePrefetchNodes, prefetchId, type PrefetchCandidate } from '../core/prefetch-plan.ts';
import type { Pod, WarmPool } from '../core/resources.ts';
import type { KubeClient } from '../engine/kube-client.ts';
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
    const nodes = await this.#chooseNodes(request);
    this.#forgetOld(term);
    const known = this.#prefetches.get(id);
    if (known !== undefined && known.endedUnixMs === undefined) return sameSource(known, request);
    if (this.running >= MAX_RUNNING) {
      throw claimError('TooManyPrefetches', `${MAX_RUNNING} prefetches are under way: ask again when some have ended`, {
        retryAfterSeconds: 5,
      });
    }
    const running = this.#begin(id, request, nodes, term);
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

  #begin(id: string, request: PrefetchCodeRequest, nodes: string[], term: number): Running {
    const { digest, format } = request.code;
    const prefetch: Prefetch = {
      id,
      ...(request.namespace !== undefined && { namespace: request.namespace }),
      ...{ digest, format, state: 'running' },
      createdAt: new Date(this.#deps.clock.now()).toISOString(),
      ...{ cachedNodes: 0, failedNodes: 0 },
      nodes: nodes.map((node) => ({ node, state: 'waiting', receivedBytes: 0 })),
    };
    return { prefetch, request, term, endedUnixMs: undefined };
  }

  async #run(running: Running): Promise<void> {
    const { prefetch } = running;
    await Promise.all(prefetch.nodes.map((item) => this.#queue.add(() => this.#bring(running, item))));
    running.endedUnixMs = this.#deps.clock.now();
    prefetch.endedAt = new Date(running.endedUnixMs).toISOString();
    prefetch.state = prefetch.failedNodes === 0 ? 'done' : 'failed';
  }

  /** Never rejects. */
  async #bring({ prefetch, request, term }: Running, item: PrefetchNode): Promise<void> {
    const { spread, servingTerm, onNodeEnded } = this.#deps;
    const arrival = spread.begin(request.code.digest, item.node);
    const isWanted = (): boolean => servingTerm() === term;
    await prefetchOnNode(this.#deps, { code: request.code, peers: arrival?.peers, item, isWanted });
    const hasIt = item.state === 'cached';
    arrival?.end(hasIt ? 'arrived' : 'failed');
    if (hasIt) prefetch.cachedNodes++;
    else prefetch.failedNodes++;
    onNodeEnded?.(hasIt ? 'cached' : 'failed');
  }

  async #chooseNodes(request: PrefetchCodeRequest): Promise<string[]> {
    const { namespace, nodes: named, nodeCount = MAX_PREFETCH_NODES, code } = request;
    const { nodes } = this.#deps;
    const meant =
      namespace === undefined ? this.#namedNodes(named) : await this.#nodesOfPools(namespace, request.pools);
    const holders = nodes.code.nodesWith(code.digest);
    const candidates = [...meant].map(([node, standbyPods]): PrefetchCandidate => ({
      node,
      standbyPods,
      hasCode: holders?.has(node) === true,
    }));
    if (candidates.length > 0) return choosePrefetchNodes(candidates, nodeCount);
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

  /** With the standby pods that each of them has of these pools. */
  async #nodesOfPools(namespace: string, names: string[] | undefined): Promise<Map<string, number>> {
    const { pods, pools, nodes } = this.#deps;
    const own = pools.list().filter(({ metadata }) => metadata.namespace === namespace);
    for (const name of names ?? []) await findPool(this.#deps, namespace, name);
    const found = new Map<string, number>();
    for (const name of new Set(names ?? own.map(({ metadata }) => metadata.name))) {
      for (const pod of pods.byIndex('pool', poolKey(namespace, name))) {
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

function sameSource({ prefetch, request }: Running, { code }: PrefetchCodeRequest): Prefetch {
  if (request.code.url === code.url && request.code.key === code.key) return prefetch;
  throw claimError(
    'PrefetchConflict',
    `${code.digest} is on its way to these nodes from another source: ask again when prefetch ${prefetch.id} has ended`,
  );
}
