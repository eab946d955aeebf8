import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { NodeEvent } from '@warmpool/protocol/host-agent-api.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { RuntimeProcess } from './runtime-process.ts';
import type { Prng } from './prng.ts';

/** One machine: its processes, who listens to its reports, and whether it can be reached at all. */
export class SimNode {
  readonly name: string;
  readonly processes = new Map<PodUid, RuntimeProcess>();
  /** Last time at which the machine or its network was not all right. */
  lastTroubleMs = Number.NEGATIVE_INFINITY;
  readonly #clock: Clock;
  readonly #random: Prng;
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  #isReachable = true;
  #lastPort = 20_000;

  constructor(deps: { clock: Clock; random: Prng }, name: string) {
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.name = name;
    this.#ping();
  }

  get isReachable(): boolean {
    return this.#isReachable;
  }

  /** Partitioned from everything: its kubelet and its host-agent go unheard, its processes live on. */
  cutOff(): void {
    this.#isReachable = false;
  }

  rejoin(): void {
    this.lastTroubleMs = this.#clock.monotonic();
    this.#isReachable = true;
  }

  /** The machine stops: every process with it. */
  losePower(): void {
    this.cutOff();
    for (const process of this.processes.values()) process.fail('PodLost', 'the machine stopped');
    this.processes.clear();
  }

  /** A new process in this pod, standing by. */
  boot(podUid: PodUid): RuntimeProcess {
    const process: RuntimeProcess = new RuntimeProcess(
      {
        clock: this.#clock,
        onChange: () => this.processes.get(podUid) === process && this.#tell({ type: 'POD', pod: process.report() }),
      },
      podUid,
      this.#random.hex(8),
      ++this.#lastPort,
    );
    this.processes.set(podUid, process);
    this.#tell({ type: 'POD', pod: process.report() });
    return process;
  }

  /** The pod's folder is removed, with whatever ran in it. */
  remove(podUid: PodUid): void {
    const process = this.processes.get(podUid);
    if (process === undefined) return;
    this.processes.delete(podUid);
    process.terminate();
    this.#tell({ type: 'POD_GONE', podUid });
  }

  snapshot(): NodeEvent {
    const pods = [...this.processes.values()].map((process) => process.report());
    return { type: 'SNAPSHOT', node: this.name, pods, digests: [] };
  }

  /** Each event from now on, while the node can be heard. */
  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #ping(): void {
    this.#clock.after(2_000, () => {
      this.#tell({ type: 'PING' });
      this.#ping();
    });
  }
}
