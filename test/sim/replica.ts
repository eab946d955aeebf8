import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { KubeClient } from '@warmpool/operator/engine/kube-client.ts';
import type { Log } from '@warmpool/operator/engine/log.ts';
import { Operator } from '@warmpool/operator/operator.ts';
import type { Actor } from './actor.ts';
import type { Faults } from './faults.ts';
import type { SimHostAgent } from './host-agent.ts';
import { HostAgentLink } from './host-agent-link.ts';
import { KubeLink } from './kube-link.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import { ReplicaGate } from './replica-gate.ts';
import type { Sabotage } from './sabotage.ts';
import type { Trace } from './trace.ts';

export interface ReplicaDeps {
  clock: Clock;
  random: Prng;
  faults: Faults;
  profile: Profile;
  server: KubeClient;
  actor: Actor;
  hostAgents: ReadonlyMap<string, SimHostAgent>;
  grantKey: Buffer;
  trace: Trace;
  sabotage: Sabotage;
}

interface Life {
  operator: Operator;
  gate: ReplicaGate;
  kube: KubeLink;
  hostAgents: HostAgentLink;
  stop: AbortController;
}

/** What a caller sees of a process that is not there, or not any more. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

/** One replica of the operator: real code in a process that can crash, be paused, and start again with nothing remembered. */
export class Replica {
  readonly name: string;
  readonly #deps: ReplicaDeps;
  #lives = 0;
  #life: Life | undefined;

  constructor(deps: ReplicaDeps, name: string) {
    this.#deps = deps;
    this.name = name;
    this.start();
  }

  /** Undefined while it is down. */
  get operator(): Operator | undefined {
    return this.#life?.operator;
  }

  get isPaused(): boolean {
    return this.#life?.gate.isPaused ?? false;
  }

  start(): void {
    if (this.#life !== undefined) return;
    const { clock: world, random, hostAgents, grantKey, trace, sabotage } = this.#deps;
    const identity = `${this.name}-${++this.#lives}`;
    const gate = new ReplicaGate(world, random);
    const clock = gate.clock();
    const crash = (reason: string): void => {
      if (this.#life?.gate === gate) this.crash(reason);
    };
    const kube = new KubeLink({ ...this.#deps, gate, crash }, this.name, sabotage);
    const link = new HostAgentLink({ ...this.#deps, gate }, this.name);
    const operator = new Operator(
      {
        clock,
        random: random.next,
        kube,
        hostAgents: link,
        log: logTo(trace, this.name),
        metrics: { add: () => undefined, set: () => undefined, observe: () => undefined },
        observeClaim: () => undefined,
        randomHex: (bytes) => random.hex(bytes),
      },
      {
        identity,
        leaseNamespace: sabotage.everybodyLeads === true ? undefined : 'warmpool-system',
        nodes: [...hostAgents.keys()],
        grantKey,
      },
    );
    const stop = new AbortController();
    this.#life = { operator, gate, kube, hostAgents: link, stop };
    trace.add(this.name, `starts as ${identity}`);
    operator.run(stop.signal).then(
      () => trace.add(this.name, 'has stopped'),
      (error: unknown) => trace.add(this.name, `run failed: ${String(error)}`),
    );
  }

  crash(reason: string): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#deps.trace.add(this.name, `CRASHES ${reason}`);
    this.#life = undefined;
    life.gate.die();
  }

  pause(durationMs: number): void {
    const life = this.#life;
    if (life === undefined || life.gate.isPaused) return;
    this.#deps.trace.add(this.name, `PAUSED for ${durationMs} ms`);
    life.gate.pause();
    this.#deps.clock.after(durationMs, () => {
      if (life.gate.isPaused) this.#deps.trace.add(this.name, 'wakes up');
      life.gate.resume();
    });
  }

  /** As in a rolling update: SIGTERM, the lease is released, the process ends, and a new one takes its place. */
  roll(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#deps.trace.add(this.name, 'shuts down');
    life.operator.inventory.stop();
    life.stop.abort(new Error('SIGTERM'));
    this.#deps.clock.after(12_000, () => {
      life.gate.die();
      if (this.#life === life) this.#life = undefined;
      this.start();
    });
  }

  troubleWatches(): void {
    this.#life?.kube.trouble();
  }

  troubleStreams(): void {
    this.#life?.hostAgents.trouble();
  }

  breakStreams(node: string): void {
    this.#life?.hostAgents.breakAll(node);
  }

  /** A request that arrives now. `cancel` is the caller's connection closing. Rejects with ConnectionLost when the process dies. */
  serve<T>(operation: (operator: Operator, signal: AbortSignal) => Promise<T>, cancel: AbortSignal): Promise<T> {
    const life = this.#life;
    if (life === undefined) return Promise.reject(new ConnectionLost(`${this.name} is down`));
    const { gate, operator } = life;
    const caller = new AbortController();
    const onCancel = (): void => gate.deliver(() => caller.abort(new Error('the connection was closed')));
    if (cancel.aborted) onCancel();
    else cancel.addEventListener('abort', onCancel, { once: true });
    return new Promise<T>((resolve, reject) => {
      const forget = gate.onDeath(() => reject(new ConnectionLost(`${this.name} crashed`)));
      const settle = (action: () => void): void => {
        forget();
        if (!gate.isDead) action();
      };
      gate.deliver(() => {
        operation(operator, caller.signal).then(
          (value) => settle(() => resolve(value)),
          (error: unknown) => settle(() => reject(error)),
        );
      });
    });
  }
}

function logTo(trace: Trace, name: string): Log {
  const line =
    (level: string) =>
    (fields: object, message: string): void => {
      trace.add(name, `${level}${message} ${inWords(fields)}`);
    };
  return { debug: line('. '), info: line(''), warn: line('WARN '), error: line('ERROR ') };
}

function inWords(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? `"${value.message}"` : String(value)}`)
    .join(' ');
}
