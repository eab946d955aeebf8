import type { Claim, ClaimRequest } from '@warmpool/protocol/claim-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { RuntimeProcess } from './runtime-process.ts';
import type { SimNode } from './sim-node.ts';

/** One client's claim, as that client knows it. */
export interface ClaimFacts {
  readonly request: ClaimRequest;
  readonly namespace: string;
  readonly pool: string;
  readonly answers: { podUid: PodUid; atMs: number }[];
  /** From the first attempt to release it on, it may end at any time. */
  releaseSentAtMs: number | undefined;
  wantsKeepWarm: boolean;
  /** How it ended; undefined while its client still works on it. */
  outcome: 'ready' | 'refused' | 'failed' | 'abandoned' | undefined;
}

/** What is really the case: every process there ever was, and what each client was told. */
export class Truth {
  readonly claims = new Map<string, ClaimFacts>();
  readonly #clock: Clock;
  readonly #processes = new Map<string, RuntimeProcess[]>();
  readonly #nodes = new Map<string, SimNode>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  booted(process: RuntimeProcess, node: SimNode): void {
    const list = this.#processes.get(process.podUid) ?? [];
    list.push(process);
    this.#processes.set(process.podUid, list);
    this.#nodes.set(process.podUid, node);
  }

  answered(facts: ClaimFacts, claim: Claim): void {
    const podUid = claim.pod?.uid as PodUid | undefined;
    if (podUid !== undefined) facts.answers.push({ podUid, atMs: this.#clock.monotonic() });
  }

  processes(podUid: string): readonly RuntimeProcess[] {
    return this.#processes.get(podUid) ?? [];
  }

  /** The process that runs, or ran last, in this pod. */
  process(podUid: string): RuntimeProcess | undefined {
    return this.#processes.get(podUid)?.at(-1);
  }

  /** The process of this pod that took a load. */
  loadedProcess(podUid: string): RuntimeProcess | undefined {
    return this.processes(podUid).find((process) => process.loads.length > 0);
  }

  /** Its machine could not be reached at some moment within this time. */
  wasNodeTroubled(podUid: string, withinMs: number): boolean {
    const node = this.#nodes.get(podUid);
    if (node === undefined) return false;
    return !node.isReachable || this.#clock.monotonic() - node.lastTroubleMs < withinMs;
  }
}

/** Two claims that may follow each other in one instance. */
export function isSameFunction(a: ClaimFacts, b: ClaimFacts): boolean {
  return (
    a.namespace === b.namespace &&
    a.pool === b.pool &&
    JSON.stringify([a.request.function, a.request.env]) === JSON.stringify([b.request.function, b.request.env])
  );
}
