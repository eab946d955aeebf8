/** A node is named to so many others at once: half of what its host-agent serves, whose other half is for what was not foreseen. */
const FANOUT = 4;
/** While nobody has the code, so many nodes read it from where it is; all others get it from them, and from each other. */
const ORIGIN_READERS = 2;
/** Named to one node: more would only make it later at the origin. */
const MAX_NAMED = 3;
/** Of the nodes that had the code before; the others are not needed. */
const MAX_FIRST_GIVERS = 64;

export interface CodeSpreadDeps {
  nodesWith: (digest: string) => ReadonlySet<string> | undefined;
  peerUrl: (node: string) => string | undefined;
}

/** One node's fetch of one digest. */
export interface CodeArrival {
  /** URLs of host-agents to ask before the origin, the best first. */
  peers: string[];
  /** The node has it now, or will not have it. */
  end(outcome: 'arrived' | 'failed'): void;
}

interface Arriving {
  arrival: CodeArrival;
  waiting: number;
}

interface Spread {
  arriving: Map<string, Arriving>;
  /** Who may be named, with how many it is named to now. */
  givers: Map<string, number>;
  /** Those of them that may be named to more, those that have been at it for longest first. */
  free: Set<string>;
}

/**
 * Which node gets code from which, while many need the same: a tree that grows in the order of the loads. A host-agent passes on what
 * it is still receiving, so the tree's depth costs little, and the origin is read by a handful of nodes however many there are.
 */
export class CodeSpread {
  readonly #deps: CodeSpreadDeps;
  readonly #spreads = new Map<string, Spread>();
  #turn = 0;

  constructor(deps: CodeSpreadDeps) {
    this.#deps = deps;
  }

  /** Before a load or a prefetch is sent to the node. `undefined`: it has the code, or takes no part. */
  begin(digest: string, node: string): CodeArrival | undefined {
    const { nodesWith, peerUrl } = this.#deps;
    const holders = nodesWith(digest);
    if (holders?.has(node) === true || peerUrl(node) === undefined) return undefined;
    const spread = this.#spreadOf(digest, holders);
    let arriving = spread.arriving.get(node);
    if (arriving === undefined) {
      arriving = { arrival: this.#arrive(digest, node, spread), waiting: 0 };
      spread.arriving.set(node, arriving);
    }
    arriving.waiting++;
    return arriving.arrival;
  }

  get size(): number {
    return this.#spreads.size;
  }

  #arrive(digest: string, node: string, spread: Spread): CodeArrival {
    const named = this.#givers(node, spread);
    const [first] = named;
    if (first !== undefined) this.#occupy(spread, first, 1);
    // what it receives it passes on, if it was not there before
    if (!spread.givers.has(node)) {
      spread.givers.set(node, 0);
      spread.free.add(node);
    }
    return {
      peers: named.flatMap((giver) => this.#deps.peerUrl(giver) ?? []),
      end: (outcome) => {
        const arriving = spread.arriving.get(node);
        if (arriving === undefined || --arriving.waiting > 0) return;
        spread.arriving.delete(node);
        if (first !== undefined) this.#occupy(spread, first, -1);
        const hasIt = outcome === 'arrived' || this.#deps.nodesWith(digest)?.has(node) === true;
        if (!hasIt) this.#dismiss(spread, node);
        if (spread.arriving.size === 0 && this.#spreads.get(digest) === spread) this.#spreads.delete(digest);
      },
    };
  }

  #givers(node: string, spread: Spread): string[] {
    const isFirst = spread.givers.size === spread.arriving.size && spread.arriving.size < ORIGIN_READERS;
    if (isFirst) return [];
    const named: string[] = [];
    for (const giver of spread.free) {
      if (giver === node) continue;
      if (this.#deps.peerUrl(giver) === undefined) this.#dismiss(spread, giver);
      else if (named.push(giver) === MAX_NAMED) break;
    }
    return named;
  }

  #occupy(spread: Spread, giver: string, by: 1 | -1): void {
    const count = spread.givers.get(giver);
    if (count === undefined) return;
    spread.givers.set(giver, count + by);
    if (count + by >= FANOUT) spread.free.delete(giver);
    else spread.free.add(giver);
  }

  #dismiss(spread: Spread, giver: string): void {
    spread.givers.delete(giver);
    spread.free.delete(giver);
  }

  #spreadOf(digest: string, holders: ReadonlySet<string> | undefined): Spread {
    const known = this.#spreads.get(digest);
    if (known !== undefined) return known;
    const first = [...(holders ?? [])].slice(0, MAX_FIRST_GIVERS);
    // whose turn it is: else the same few would give to each that comes alone
    const at = first.length === 0 ? 0 : this.#turn++ % first.length;
    const givers = [...first.slice(at), ...first.slice(0, at)];
    const spread: Spread = {
      arriving: new Map(),
      givers: new Map(givers.map((giver) => [giver, 0])),
      free: new Set(givers),
    };
    this.#spreads.set(digest, spread);
    return spread;
  }
}
