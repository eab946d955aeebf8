import { VirtualClock } from '@warmpool/operator/engine/testing/fake-clock.ts';
import type { Resource } from '@warmpool/operator/engine/kube-client.ts';
import type { StoredPod } from '@warmpool/operator/core/pod-view.ts';
import { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import { Actor } from './actor.ts';
import { beginBadTime } from './bad-time.ts';
import type { ClaimClientDeps } from './claim-client.ts';
import { Faults } from './faults.ts';
import { SimHostAgent } from './host-agent.ts';
import { Answers } from './invariants/answers.ts';
import { HeldInstances } from './invariants/held-instances.ts';
import { Leftovers } from './invariants/leftovers.ts';
import { PodLabels } from './invariants/pod-labels.ts';
import { PoolSize } from './invariants/pool-size.ts';
import { remembered, unsettled } from './invariants/settled.ts';
import type { WorldView } from './invariants/world-view.ts';
import { Kubelets } from './kubelets.ts';
import { NAMESPACE, People } from './people.ts';
import { PodTable } from './pod-table.ts';
import { Prng } from './prng.ts';
import { drawProfile, type Profile } from './profile.ts';
import { Replica } from './replica.ts';
import type { Sabotage } from './sabotage.ts';
import { SimNode } from './sim-node.ts';
import { Trace } from './trace.ts';
import { Truth } from './truth.ts';
import { Violation, type InvariantName } from './violation.ts';
import { drawClients, plainClient } from './workload.ts';

export interface WorldOptions {
  seed: number;
  sabotage?: Sabotage;
  /** Look at these invariants only; default all. */
  invariants?: readonly InvariantName[];
  print?: (line: string) => void;
}

export interface WorldResult {
  seed: number;
  violation: Violation | undefined;
  fingerprint: string;
  lastLines: string[];
  virtualMs: number;
}

const SWEEP_MS = 1_000;
const SETTLE_LIMIT_MS = 300_000;
const QUIET_MS = 60_000;
const PATIENCE_MS = 200_000;
const SHOWN_LINES = 60;

/** One seed: a cluster, its nodes, its operators and its users, through a bad time and the peace after it. */
export class World {
  readonly clock = new VirtualClock();
  readonly trace: Trace;
  readonly #seed: number;
  readonly #watched: readonly InvariantName[] | undefined;
  readonly #random: Prng;
  readonly #profile: Profile;
  readonly #faults: Faults;
  readonly #actor = new Actor();
  readonly #truth: Truth;
  readonly #cluster: MemoryCluster;
  readonly #replicas: Replica[];
  readonly #nodes: SimNode[];
  readonly #agents: Map<string, SimHostAgent>;
  readonly #kubelets: Kubelets;
  readonly #people: People;
  readonly #view: WorldView;
  readonly #invariants: {
    labels: PodLabels;
    answers: Answers;
    held: HeldInstances;
    size: PoolSize;
    leftovers: Leftovers;
  };
  #calmSinceMs: number | undefined;
  #violation: Violation | undefined;
  #evidence: string[] = [];
  #lastWrite: { atMs: number; what: string } = { atMs: 0, what: '' };

  constructor({ seed, sabotage = {}, invariants, print }: WorldOptions) {
    const { clock } = this;
    this.#seed = seed;
    this.#watched = invariants;
    const random = (this.#random = new Prng(`world ${seed}`));
    const profile = (this.#profile = drawProfile(random));
    const actor = this.#actor;
    const trace = (this.trace = new Trace(clock, print));
    const faults = (this.#faults = new Faults(clock, new Prng(`faults ${seed}`)));
    const truth = (this.#truth = new Truth(clock));
    const cluster = (this.#cluster = new MemoryCluster({ clock, random: new Prng(`cluster ${seed}`).next }));
    const pods = new PodTable(cluster);
    this.#nodes = Array.from({ length: profile.nodes }, (_, index) => new SimNode({ clock, random }, `node${index}`));
    const grantKey = Buffer.from('a key that operator and nodes share');

    const agentDeps = { clock, random: new Prng(`agents ${seed}`), faults, profile, grantKey, sabotage };
    this.#agents = new Map(
      this.#nodes.map((node) => [
        node.name,
        new SimHostAgent({
          ...agentDeps,
          node,
          onLoad: (process) => {
            trace.add(node.name, `loads ${process.claimId} into ${this.#podName(process.podUid)}`);
            this.#invariants.labels.onLoad(process);
          },
          onKill: (process) => {
            trace.add(node.name, `${this.#actor.current} kills ${this.#podName(process.podUid)}`);
            this.#invariants.held.onKill(process);
          },
        }),
      ]),
    );
    const hostAgents = this.#agents;
    this.#replicas = [];
    this.#view = {
      ...{ clock, cluster, pods, truth, actor, replicas: this.#replicas },
      violate: (invariant, words) => this.#violate(invariant, words),
      calmSinceMs: () => this.#calmSinceMs,
    };
    this.#invariants = {
      labels: new PodLabels(this.#view),
      answers: new Answers(this.#view),
      held: new HeldInstances(this.#view),
      size: new PoolSize(this.#view),
      leftovers: new Leftovers(this.#view),
    };
    this.#observeCluster();
    this.#kubelets = new Kubelets({
      ...{
        clock,
        random: new Prng(`kubelets ${seed}`),
        faults,
        profile,
        cluster,
        pods,
        actor,
        sabotage,
        nodes: this.#nodes,
      },
      onBoot: (process, node) => {
        trace.add(node.name, `${this.#podName(process.podUid)} is standby, epoch ${process.epoch}`);
        truth.booted(process, node);
      },
    });
    const pools = ['alpha', 'beta'].slice(0, profile.pools);
    this.#people = new People({ clock, random: new Prng(`people ${seed}`), cluster, actor, trace }, pools);
    const server = cluster.client();
    const replicaDeps = { clock, faults, profile, server, actor, hostAgents, grantKey, trace, sabotage };
    for (let index = 0; index < profile.replicas; index++) {
      const name = `replica${index}`;
      this.#replicas.push(new Replica({ ...replicaDeps, random: new Prng(`${name} ${seed}`) }, name));
    }
  }

  async run(): Promise<WorldResult> {
    this.trace.add('world', JSON.stringify(this.#profile));
    try {
      await this.#badTime();
      await this.#comeToRest('after faults stopped');
      await this.#probe();
      await this.#comeToRest('after the last claims');
      await this.#stayQuiet();
      this.#checkMemory();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
    }
    const result = {
      seed: this.#seed,
      violation: this.#violation,
      fingerprint: this.trace.fingerprint,
      lastLines: this.#evidence,
      virtualMs: this.clock.monotonic(),
    };
    for (const replica of this.#replicas) replica.crash('at the end of the world');
    return result;
  }

  async #badTime(): Promise<void> {
    const { faultsMs, claims } = this.#profile;
    beginBadTime({
      ...{ clock: this.clock, random: this.#random, profile: this.#profile, faults: this.#faults, trace: this.trace },
      ...{ cluster: this.#cluster, replicas: this.#replicas, nodes: this.#nodes, hostAgents: this.#agents },
      ...{ kubelets: this.#kubelets, people: this.#people },
    });
    const clients = drawClients(this.#clientDeps(), NAMESPACE, this.#people.pools, claims, faultsMs);
    for (const client of clients) this.#keep(client.live());
    await this.#pass(faultsMs);
    this.trace.add('world', '===== faults stop =====');
    this.#faults.stop();
    for (const replica of this.#replicas) replica.start();
    this.#people.settle();
    this.#calmSinceMs = this.clock.monotonic();
  }

  async #comeToRest(when: string): Promise<void> {
    const limitMs = this.clock.monotonic() + SETTLE_LIMIT_MS;
    let words = unsettled(this.#view);
    while (words.length > 0) {
      if (this.clock.monotonic() > limitMs) {
        this.#violate('liveness', `${SETTLE_LIMIT_MS / 1000} s ${when}: ${words.join('; ')}`);
        return;
      }
      await this.#pass(SWEEP_MS);
      words = unsettled(this.#view);
    }
    this.trace.add('world', `at rest ${when}`);
  }

  /** Clients that come now get an instance. */
  async #probe(): Promise<void> {
    for (const pool of this.#people.pools)
      this.#keep(plainClient(this.#clientDeps(), `probe-${pool}`, NAMESPACE, pool).live());
    await this.#pass(SWEEP_MS);
  }

  /** I6: when nothing changes, nothing is written. */
  async #stayQuiet(): Promise<void> {
    await this.#pass(2_000);
    const sinceMs = this.clock.monotonic();
    await this.#pass(QUIET_MS);
    if (this.#lastWrite.atMs > sinceMs)
      this.#violate('I6', `something was written although nothing changed: ${this.#lastWrite.what}`);
  }

  #checkMemory(): void {
    for (const { name, operator } of this.#replicas) {
      const words = operator === undefined ? [] : remembered(this.#view, operator);
      if (words.length > 0) this.#violate('I4', `${name} remembers what is gone: ${words.join('; ')}`);
    }
  }

  #clientDeps(): ClaimClientDeps {
    const { answers } = this.#invariants;
    return {
      ...{ clock: this.clock, random: this.#random, replicas: this.#replicas, truth: this.#truth, trace: this.trace },
      violate: (invariant, words) => this.#violate(invariant, words),
      isPatient: () => this.clock.monotonic() < (this.#calmSinceMs ?? Number.POSITIVE_INFINITY) + PATIENCE_MS,
      onSaidReady: (facts, claim) => answers.onSaidReady(facts, claim),
      onAnswered: (facts, claim) => answers.onAnswered(facts, claim),
    };
  }

  #keep(client: Promise<void>): void {
    client.catch((error: unknown) => {
      if (!(error instanceof Violation)) this.#violate('no internal errors', `a client met ${String(error)}`);
    });
  }

  async #pass(durationMs: number): Promise<void> {
    if (this.#violation !== undefined) throw this.#violation;
    const endMs = this.clock.monotonic() + durationMs;
    while (this.clock.monotonic() < endMs) {
      await this.clock.advance(Math.min(SWEEP_MS, endMs - this.clock.monotonic()));
      if (this.#violation === undefined) {
        this.#invariants.leftovers.sweep();
        this.#invariants.answers.sweep();
      }
      if (this.#violation !== undefined) throw this.#violation;
    }
  }

  #observeCluster(): void {
    this.#cluster.onChange(({ resource, type, object, previous }) => {
      const who = this.#actor.current;
      if (resource.plural !== 'leases')
        this.#lastWrite = { atMs: this.clock.monotonic(), what: `${who} ${resource.kind} ${object.metadata.name}` };
      this.trace.add(who, describeChange(resource, type, object));
      if (resource.plural === 'pods') {
        const change = { type, pod: object as StoredPod, previous: previous as StoredPod | undefined };
        this.#invariants.labels.onPod(change);
        this.#invariants.held.onPod(change);
      }
      if (resource.plural === 'pods' || resource.plural === 'warmpools') this.#invariants.size.onChange();
    });
  }

  #podName(uid: string): string {
    return uid.slice(0, 8);
  }

  #violate(invariant: InvariantName, words: string): void {
    if (this.#violation !== undefined || this.#watched?.includes(invariant) === false) return;
    this.#violation = new Violation(invariant, words);
    this.trace.add('world', `VIOLATED ${this.#violation.message}`);
    this.#evidence = this.trace.last(SHOWN_LINES);
  }
}

function describeChange(resource: Resource, type: string, object: { metadata: StoredPod['metadata'] }): string {
  const { name, uid, labels = {}, deletionTimestamp, resourceVersion } = object.metadata;
  const phase = (object as Partial<StoredPod>).status?.phase;
  const facts = [labels['warmpool.dev/state'], labels['warmpool.dev/claim'], phase, deletionTimestamp && 'terminating'];
  return `${type} ${resource.kind} ${name} ${uid.slice(0, 8)} v${resourceVersion} ${facts.filter(Boolean).join(' ')}`;
}
