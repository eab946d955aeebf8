import { createSecretKey } from 'node:crypto';
import { sleep, type Clock } from './engine/clock.ts';
import { Elector } from './engine/elector.ts';
import { EventRecorder } from './engine/events.ts';
import { Expectations } from './engine/expectations.ts';
import type { KubeClient, KubeObject, Resource } from './engine/kube-client.ts';
import type { Log } from './engine/log.ts';
import type { Metrics } from './engine/metrics.ts';
import { jitteredBackoffMs, type Random } from './engine/random.ts';
import { Reflector } from './engine/reflector.ts';
import { ObjectStore, type StoreDeps } from './engine/store.ts';
import { LABEL_POOL } from '@warmpool/protocol/names.ts';
import { PODS, WARM_POOL_CLAIMS, WARM_POOLS, type Pod, type WarmPool, type WarmPoolClaim } from './core/resources.ts';
import { poolKeyOf } from './core/pod-view.ts';
import { ClaimLedger } from './claims/claim-ledger.ts';
import { ClaimQueries } from './claims/claim-queries.ts';
import { ClaimRun } from './claims/claim-run.ts';
import { CpuResizes } from './claims/cpu-resizes.ts';
import { ClaimService, type ClaimSample } from './claims/claim-service.ts';
import { CodeSpread } from './claims/code-spread.ts';
import type { HostAgentClient } from './claims/host-agent-client.ts';
import { IdleReuse } from './claims/idle-reuse.ts';
import { Inventory } from './claims/inventory.ts';
import { NodeView } from './claims/node-view.ts';
import { Retirement } from './claims/retirement.ts';
import { InstanceKeeper } from './controllers/instance-keeper.ts';
import { followExpectations } from './controllers/follow-expectations.ts';
import { runControllers } from './controllers/run-controllers.ts';
import { RefillYield } from './controllers/refill-yield.ts';
import { WarmPoolController } from './controllers/warm-pool.ts';
import { WarmPoolClaimController } from './controllers/warm-pool-claim.ts';
import { HostAgentPods, type HostAgentPodsOptions } from './host-agents/host-agent-pods.ts';
import { NodeFollowers } from './host-agents/node-followers.ts';
import { PrefetchService } from './prefetch/prefetch-service.ts';
import { FreshLists } from './fresh-lists.ts';
import { fencedHostAgents, fencedKube } from './leader-fence.ts';

export interface OperatorDeps {
  clock: Clock;
  random: Random;
  kube: KubeClient;
  hostAgents: HostAgentClient;
  log: Log;
  metrics: Metrics;
  observeClaim: (sample: ClaimSample) => void;
  onPrefetched?: (outcome: 'cached' | 'failed') => void;
  onLoading?: (underWay: number) => void;
  /** Claims are served by this process from now on, or no longer. */
  onServing?: (isServing: boolean) => void;
  randomHex: (bytes: number) => string;
}

export interface OperatorOptions {
  /** Of this process, unique among replicas. */
  identity: string;
  /** Where the Lease is; `undefined`: this process is the only one and leads at once. */
  leaseNamespace: string | undefined;
  /** Nodes whose host-agents are known from the start. */
  nodes: string[];
  /** Finds the others; `onMoved` before their node is followed. */
  hostAgentPods?: HostAgentPodsOptions | undefined;
  /** Shared with the host-agents; signs load grants. */
  grantKey: Buffer;
}

const SYNC_TIMEOUT_MS = 60_000;
/** After a start, how long claims wait for nodes to speak up before what the pods say is taken over without them. */
const NODES_GRACE_MS = 2_000;
/** A create without an answer stops its pool for this long; longer than any watch may lag unnoticed would be safer, and an outage. */
const EXPECTATIONS_EXPIRE_MS = 60_000;

/** Every part of the operator and how they hang together; reading it tells the system. */
export class Operator {
  readonly claims: ClaimService;
  readonly queries: ClaimQueries;
  readonly prefetches: PrefetchService;
  readonly inventory: Inventory;
  readonly nodes = new NodeView();
  readonly ledger: ClaimLedger;
  readonly pods: ObjectStore<Pod>;
  readonly pools: ObjectStore<WarmPool>;
  readonly retirement: Retirement;
  readonly #deps: OperatorDeps;
  readonly #options: OperatorOptions;
  readonly #claimObjects: ObjectStore<WarmPoolClaim>;
  readonly #expectations: Expectations;
  readonly #events: EventRecorder;
  readonly #keeper: InstanceKeeper;
  readonly #refillYield: RefillYield;
  readonly #warmPools: WarmPoolController;
  readonly #warmPoolClaims: WarmPoolClaimController;
  readonly #lists = new FreshLists();
  readonly #followers: NodeFollowers;
  readonly #hostAgentPods: HostAgentPods | undefined;
  #servingTerm: (() => number | undefined) | undefined;

  constructor(deps: OperatorDeps, options: OperatorOptions) {
    this.#deps = deps;
    this.#options = options;
    const { clock, random, log, metrics } = deps;
    const kube = fencedKube(deps.kube, () => this.isServing);
    const hostAgents = fencedHostAgents(deps.hostAgents, () => this.isServing);
    const onError = (error: unknown): void => log.error({ err: error }, 'a listener failed');
    this.pods = new ObjectStore<Pod>({ onError }, { pool: (pod) => [poolKeyOf(pod)] });
    this.pools = new ObjectStore<WarmPool>({ onError });
    this.#claimObjects = new ObjectStore<WarmPoolClaim>({ onError });
    this.ledger = new ClaimLedger(clock);
    this.#expectations = new Expectations(clock, EXPECTATIONS_EXPIRE_MS);
    this.#events = new EventRecorder(
      { client: deps.kube, clock, random, log, metrics },
      { controller: 'warmpool-operator', instance: options.identity },
    );

    this.#followers = new NodeFollowers({ ...deps, view: this.nodes });
    this.#hostAgentPods = options.hostAgentPods && this.#discover({ onError }, options.hostAgentPods);

    const { pods, pools, nodes, ledger } = this;
    const servingTerm = (): number | undefined => this.#servingTerm?.();
    this.inventory = new Inventory({ clock, pods, pools, nodes });
    this.retirement = new Retirement({ clock, random, kube, hostAgents, nodes, index: this.inventory.index, log });
    const { inventory, retirement } = this;
    const spread = new CodeSpread({
      nodesWith: (digest) => nodes.code.nodesWith(digest),
      peerUrl: (node) => nodes.peerUrl(node),
    });
    const views = { nodes, pods, pools, ledger, inventory };
    const shared = { ...views, clock, random, kube, hostAgents, spread, retirement, log, servingTerm };
    const idle = new IdleReuse(shared);
    const grantKey = createSecretKey(options.grantKey);
    const { randomHex, onLoading, observeClaim: observe, onPrefetched: onNodeEnded } = deps;
    const resizes = new CpuResizes(shared);
    const run = new ClaimRun({ ...shared, idle, resizes, grantKey, randomHex, onLoading, events: this.#events });
    this.#refillYield = new RefillYield(
      clock,
      () => run.loading > 0,
      (pool) => inventory.queuedClaims(pool) > 0,
    );
    this.claims = new ClaimService({ ...shared, idle, run, observe, processKey: randomHex(32) });
    this.queries = new ClaimQueries(shared);
    this.prefetches = new PrefetchService({ ...shared, grantKey, randomHex, onNodeEnded });
    this.#keeper = new InstanceKeeper({ ...shared, idle: idle.instances });
    this.#warmPools = new WarmPoolController({
      ...shared,
      randomHex,
      expectations: this.#expectations,
      events: this.#events,
    });
    this.#warmPoolClaims = new WarmPoolClaimController({
      clock,
      kube,
      claimObjects: this.#claimObjects,
      claims: this.claims,
      ledger,
    });
    followExpectations(this.#expectations, this.pods, this.pools);
  }

  /** This process leads and has a complete view, so it serves claims. */
  get isServing(): boolean {
    return this.#servingTerm?.() !== undefined;
  }

  /** Leading or not, this process has a complete view: it can take over at once. */
  get isComplete(): boolean {
    return this.#lists.isComplete;
  }

  /** Runs until the signal aborts; resolves when everything has stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, kube, log, metrics } = this.#deps;
    const running = [
      this.#reflect({ ...PODS, labelSelector: LABEL_POOL }, this.pods, signal),
      this.#reflect(WARM_POOLS, this.pools, signal),
      this.#reflect(WARM_POOL_CLAIMS, this.#claimObjects, signal),
      this.#followers.run(signal),
    ];
    for (const node of this.#options.nodes) this.#followers.follow(node);
    const agents = this.#options.hostAgentPods;
    if (this.#hostAgentPods !== undefined && agents !== undefined)
      running.push(this.#reflect({ ...PODS, ...agents, name: 'host-agents' }, this.#hostAgentPods.pods, signal));
    if (this.#options.leaseNamespace === undefined) {
      running.push(this.#lead(1, () => true, signal));
    } else {
      const elector = new Elector(
        { client: kube, clock, random, log, metrics },
        { namespace: this.#options.leaseNamespace, name: 'warmpool-operator', identity: this.#options.identity },
        {
          onStarted: (term, leading) => void (this.#leading = this.#lead(term, () => elector.isLeader(), leading)),
          onStopped: () => this.#leading,
        },
      );
      running.push(elector.run(signal));
    }
    await Promise.all(running);
    this.inventory.stop();
    await this.#events.idle();
  }

  #leading: Promise<void> = Promise.resolve();

  /** One term of leadership, however often its start fails. */
  async #lead(term: number, isLeader: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#deps;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await this.#serve(term, isLeader, signal);
      } catch (error) {
        if (signal.aborted) return;
        log.error({ err: error, term }, 'serving claims could not begin; trying again');
        await sleep(clock, jitteredBackoffMs(attempt, 500, 10_000, random), signal).catch(() => undefined);
      }
    }
  }

  /** A fresh and complete view first, then claims, then the controllers. */
  async #serve(term: number, isLeader: () => boolean, signal: AbortSignal): Promise<void> {
    await this.#lists.next(signal, this.#deps.clock, SYNC_TIMEOUT_MS);
    this.#followers.hearAnew();
    await this.#followers.heard(NODES_GRACE_MS, signal);
    this.#keeper.adoptAll(term);
    this.#servingTerm = () => (isLeader() && !signal.aborted ? term : undefined);
    this.#deps.log.info({ term, pools: this.pools.size, pods: this.pods.size }, 'serving claims');
    this.#deps.onServing?.(true);
    try {
      await runControllers(
        this.#deps,
        {
          pools: this.pools,
          pods: this.pods,
          claimObjects: this.#claimObjects,
          nodes: this.nodes,
          ledger: this.ledger,
          warmPools: this.#warmPools,
          warmPoolClaims: this.#warmPoolClaims,
          keeper: this.#keeper,
          refillYield: this.#refillYield,
        },
        signal,
      );
    } finally {
      this.#servingTerm = undefined;
      this.ledger.clear();
      this.#deps.onServing?.(false);
    }
  }

  #discover(deps: StoreDeps, options: HostAgentPodsOptions): HostAgentPods {
    return new HostAgentPods(deps, {
      ...options,
      onMoved: (node, endpoint) => {
        options.onMoved(node, endpoint);
        this.#deps.log.info({ node, endpoint }, 'host-agent moved');
        if (endpoint === undefined) this.#followers.leave(node);
        else this.#followers.follow(node);
      },
    });
  }

  #reflect<T extends KubeObject>(
    what: Resource & { name?: string; namespace?: string; labelSelector?: string },
    store: ObjectStore<T>,
    signal: AbortSignal,
  ): Promise<void> {
    const { name = what.plural, namespace, labelSelector } = what;
    const { group, version, plural, kind } = what;
    const { kube: client, clock, random, log } = this.#deps;
    const reflector = new Reflector<T>(
      {
        client,
        clock,
        random,
        store,
        report: (event) => {
          if (event.type === 'listed') this.#lists.listed(name);
          else
            log.warn(
              { resource: name, ...event, ...('error' in event && { err: event.error }) },
              'watching the apiserver',
            );
        },
      },
      {
        resource: { group, version, plural, kind },
        ...(namespace !== undefined && { namespace }),
        ...(labelSelector !== undefined && { labelSelector }),
      },
    );
    this.#lists.add(name, reflector);
    return reflector.run(signal);
  }
}
