import type { NodeEvent, PodReport } from '@warmpool/protocol/host-agent-api.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { HostAgentError, type HostAgentClient } from '@warmpool/operator/claims/host-agent-client.ts';
import type { Actor } from './actor.ts';
import { DelayedStream } from './delayed-stream.ts';
import type { Faults } from './faults.ts';
import type { SimHostAgent } from './host-agent.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import type { ReplicaGate } from './replica-gate.ts';
import type { Sabotage } from './sabotage.ts';
import { callOverWire, type Fate } from './wire.ts';

export interface HostAgentLinkDeps {
  clock: Clock;
  random: Prng;
  gate: ReplicaGate;
  faults: Faults;
  profile: Profile;
  actor: Actor;
  hostAgents: ReadonlyMap<string, SimHostAgent>;
  sabotage: Sabotage;
}

/** One replica's connections to all nodes. */
export class HostAgentLink implements HostAgentClient {
  readonly #deps: HostAgentLinkDeps;
  readonly #name: string;
  readonly #streams = new Map<DelayedStream<NodeEvent>, string>();
  /** By node: ends what is under way. */
  readonly #resets = new Map<string, PromiseWithResolvers<never>>();

  constructor(deps: HostAgentLinkDeps, name: string) {
    this.#deps = deps;
    this.#name = name;
  }

  load: HostAgentClient['load'] = (node, request, { timeoutMs }) =>
    this.#call(node, timeoutMs, (agent) => agent.load(request));

  kill: HostAgentClient['kill'] = (node, podUid, _request, { timeoutMs }) =>
    this.#call(node, timeoutMs, async (agent) => ({ podUid, ...agent.kill(podUid) }));

  logs: HostAgentClient['logs'] = () => Promise.reject(new HostAgentError(501, 'NotSimulated', 'no logs here'));

  prefetch: HostAgentClient['prefetch'] = () => Promise.reject(new HostAgentError(501, 'NotSimulated', 'no prefetch'));
  prefetches: HostAgentClient['prefetches'] = () => Promise.resolve({ items: [] });

  reset(node: string): void {
    this.#resets.get(node)?.reject(noAnswer(node));
    this.#resets.delete(node);
  }

  events(node: string, signal: AbortSignal): AsyncIterable<NodeEvent> {
    const { clock, gate, random, faults, profile } = this.#deps;
    const agent = this.#agent(node);
    let stopListening = (): void => undefined;
    const stream: DelayedStream<NodeEvent> = new DelayedStream(
      {
        clock,
        gate,
        lagMs: () => random.next() * profile.hostAgents.latencyMs,
        abortError: () => new HostAgentError(0, 'Aborted', 'the stream was closed'),
        onClosed: () => {
          this.#streams.delete(stream);
          stopListening();
        },
      },
      signal,
    );
    this.#streams.set(stream, node);
    clock.after(random.next() * profile.hostAgents.latencyMs, () => {
      if (stream.isOver || gate.isDead) return;
      if (!agent.isUp) {
        if (agent.node.isReachable) stream.break(noAnswer(node));
        return; // else silence, until the reader gives up
      }
      if (faults.chance(profile.hostAgents.lostRequestChance)) return stream.break(noAnswer(node));
      stream.push(this.#asReported(agent.node.snapshot()));
      stopListening = agent.node.listen((event) => agent.isUp && stream.push(this.#asReported(event)));
    });
    return stream;
  }

  /** Breaks one stream. */
  trouble(): void {
    const { random } = this.#deps;
    if (this.#streams.size === 0) return;
    const [stream, node] = random.pick([...this.#streams]);
    if (random.chance(0.7)) stream.break(noAnswer(node));
    else stream.stall(random.pick([500, 3_000, 20_000]));
  }

  /** Of a host-agent that stopped: its connections are closed. */
  breakAll(node: string): void {
    for (const [stream, of] of this.#streams) if (of === node) stream.break(noAnswer(node));
  }

  #asReported(event: NodeEvent): NodeEvent {
    if (event.type === 'POD') return { ...event, pod: this.#asSaid(event.pod) };
    if (event.type === 'SNAPSHOT') return { ...event, pods: event.pods.map((pod) => this.#asSaid(pod)) };
    return event;
  }

  #asSaid(pod: PodReport): PodReport {
    const { hidesDeaths } = this.#deps.sabotage;
    const isDead = pod.state === 'failed' || pod.state === 'terminated';
    return hidesDeaths === true && isDead ? { ...pod, state: pod.claimId === undefined ? 'standby' : 'ready' } : pod;
  }

  #agent(node: string): SimHostAgent {
    const agent = this.#deps.hostAgents.get(node);
    if (agent === undefined) throw new HostAgentError(0, 'UnknownNode', `no host-agent is known on node ${node}`);
    return agent;
  }

  #call<T>(node: string, timeoutMs: number, run: (agent: SimHostAgent) => Promise<T>): Promise<T> {
    const { clock, random, gate, profile, actor } = this.#deps;
    const agent = this.#agent(node);
    const { latencyMs } = profile.hostAgents;
    const answer = callOverWire(
      { clock, random, gate },
      {
        fate: this.#fate(),
        latencyMs,
        timeoutMs,
        run: () => {
          if (agent.isUp) return actor.as(this.#name, () => run(agent));
          if (agent.node.isReachable) return Promise.reject(noAnswer(node));
          return new Promise<T>(() => undefined);
        },
        timeoutError: () => noAnswer(node),
        abortError: () => noAnswer(node),
      },
    );
    return Promise.race([answer, this.#resetOf(node)]);
  }

  #resetOf(node: string): Promise<never> {
    const known = this.#resets.get(node);
    if (known !== undefined) return known.promise;
    const reset = Promise.withResolvers<never>();
    reset.promise.catch(() => undefined); // perhaps nothing is under way
    this.#resets.set(node, reset);
    return reset.promise;
  }

  #fate(): Fate {
    const { faults, random, profile } = this.#deps;
    if (faults.chance(profile.hostAgents.lostRequestChance)) return { kind: 'lost-request' };
    if (faults.chance(profile.hostAgents.lostReplyChance)) {
      return { kind: 'lost-reply', error: random.chance(0.5) ? noAnswer('?') : undefined };
    }
    return { kind: 'ok' };
  }
}

function noAnswer(node: string): HostAgentError {
  return new HostAgentError(0, 'NoAnswer', `the host-agent of node ${node} did not answer`);
}
