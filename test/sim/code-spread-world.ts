import { CodeSpread, type CodeArrival } from '@warmpool/operator/claims/code-spread.ts';
import { Prng } from './prng.ts';

export interface CodeSpreadOptions {
  seed: number;
  nodes: number;
  /** Loads are sent within this time. */
  withinMs: number;
  /** Of the nodes, while they receive or give. */
  diesChance: number;
  /** A host-agent has more to do than its peers know of, and refuses. */
  busyChance: number;
}

export interface CodeSpreadResult {
  originReads: number;
  /** Nodes that live and have the code. */
  arrived: number;
  died: number;
  endedMs: number;
  mostTransfersAtOnce: number;
}

const SIZE_BYTES = 20e6;
const ORIGIN_BYTES_PER_MS = 50e3;
const NODE_BYTES_PER_MS = 125e3;
const STEP_MS = 5;
const LIMIT_MS = 120_000;
/** As the host-agents do. */
const MAX_TRANSFERS = 8;
const MAX_HANDOVERS = 2;
const ORIGIN = -1;

interface Node {
  startMs: number;
  diesAtMs: number;
  state: 'idle' | 'receiving' | 'done' | 'dead';
  receivedBytes: number;
  source: number;
  handovers: number;
  arrival: CodeArrival | undefined;
}

/** The operator's real plan, host-agents that pass on what they receive at the speed of their links, and a network that fails. */
export class CodeSpreadWorld {
  readonly #options: CodeSpreadOptions;
  readonly #random: Prng;
  readonly #nodes: Node[];
  readonly #holders = new Set<string>();
  readonly #transfers: number[];
  readonly #spread = new CodeSpread({
    nodesWith: () => (this.#holders.size === 0 ? undefined : this.#holders),
    peerUrl: (node) => (this.#nodes[Number(node)]?.state === 'dead' ? undefined : node),
  });
  #originReads = 0;
  #mostTransfers = 0;

  constructor(options: CodeSpreadOptions) {
    this.#options = options;
    const random = new Prng(`spread ${options.seed}`);
    this.#random = random;
    this.#nodes = Array.from({ length: options.nodes }, () => {
      const startMs = random.next() * options.withinMs;
      const diesAtMs = random.chance(options.diesChance) ? startMs + random.next() * 1_500 : Number.POSITIVE_INFINITY;
      return {
        ...{ startMs, diesAtMs, state: 'idle', receivedBytes: 0 },
        source: ORIGIN,
        handovers: 0,
        arrival: undefined,
      };
    });
    this.#transfers = this.#nodes.map(() => 0);
  }

  run(): CodeSpreadResult {
    let nowMs = 0;
    const order = [...this.#nodes.keys()].sort((a, b) => this.#node(a).startMs - this.#node(b).startMs);
    const isOver = (): boolean => this.#nodes.every(({ state }) => state === 'done' || state === 'dead');
    for (; nowMs < LIMIT_MS && !isOver(); nowMs += STEP_MS) for (const index of order) this.#step(index, nowMs);
    const count = (wanted: Node['state']): number => this.#nodes.filter(({ state }) => state === wanted).length;
    return {
      originReads: this.#originReads,
      ...{ arrived: count('done'), died: count('dead'), endedMs: nowMs },
      mostTransfersAtOnce: this.#mostTransfers,
    };
  }

  #step(index: number, nowMs: number): void {
    const node = this.#node(index);
    if (node.state === 'dead' || nowMs < node.startMs) return;
    if (nowMs >= node.diesAtMs) return this.#die(index);
    if (node.state === 'idle') {
      node.state = 'receiving';
      node.arrival = this.#spread.begin('digest', String(index));
      this.#connect(index, undefined);
    }
    if (node.state === 'receiving') this.#receive(index);
  }

  #receive(index: number): void {
    const node = this.#node(index);
    if (node.source === ORIGIN) node.receivedBytes += ORIGIN_BYTES_PER_MS * STEP_MS;
    else {
      const shareBytes = (NODE_BYTES_PER_MS * STEP_MS) / (this.#transfers[node.source] ?? 1);
      node.receivedBytes += Math.max(
        0,
        Math.min(shareBytes, this.#node(node.source).receivedBytes - node.receivedBytes),
      );
    }
    if (node.receivedBytes < SIZE_BYTES) return;
    node.receivedBytes = SIZE_BYTES;
    node.state = 'done';
    this.#leave(node);
    this.#holders.add(String(index));
    node.arrival?.end('arrived');
  }

  /** To the first peer that takes it, going on from where it is, else to the origin, from the start. */
  #connect(index: number, except: number | undefined): void {
    const node = this.#node(index);
    for (const peer of node.arrival?.peers.map(Number) ?? []) {
      const { state } = this.#node(peer);
      const isThere = peer !== except && (state === 'receiving' || state === 'done');
      const isBusy = (this.#transfers[peer] ?? 0) >= MAX_TRANSFERS || this.#random.chance(this.#options.busyChance);
      if (!isThere || isBusy) continue;
      node.source = peer;
      this.#transfers[peer] = (this.#transfers[peer] ?? 0) + 1;
      this.#mostTransfers = Math.max(this.#mostTransfers, this.#transfers[peer]);
      return;
    }
    node.source = ORIGIN;
    node.receivedBytes = 0;
    this.#originReads++;
    this.#breakOff(index);
  }

  #die(index: number): void {
    const node = this.#node(index);
    if (node.state === 'receiving') this.#leave(node);
    node.state = 'dead';
    this.#holders.delete(String(index));
    node.arrival?.end('failed');
    this.#breakOff(index);
  }

  /** What it gave, it does not give on. */
  #breakOff(index: number): void {
    for (const [child, { state, source }] of this.#nodes.entries()) {
      if (state !== 'receiving' || source !== index) continue;
      const node = this.#node(child);
      this.#leave(node);
      if (++node.handovers > MAX_HANDOVERS) node.arrival = node.arrival && { ...node.arrival, peers: [] };
      this.#connect(child, index);
    }
  }

  #leave(node: Node): void {
    if (node.source !== ORIGIN) this.#transfers[node.source] = (this.#transfers[node.source] ?? 1) - 1;
  }

  #node(index: number): Node {
    const node = this.#nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }
}
