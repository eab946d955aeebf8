import { MAX_NODE_DIGESTS } from '@warmpool/protocol/host-agent-api.ts';

/** Which nodes hold which code, as the nodes say; of each node so many digests at most. */
export class CodeLocations {
  readonly #nodes = new Map<string, Set<string>>();
  readonly #digests = new Map<string, Set<string>>();

  nodesWith(digest: string): ReadonlySet<string> | undefined {
    return this.#nodes.get(digest);
  }

  add(node: string, digest: string): void {
    const digests = setOf(this.#digests, node);
    // the newest at the end
    digests.delete(digest);
    digests.add(digest);
    setOf(this.#nodes, digest).add(node);
    if (digests.size > MAX_NODE_DIGESTS) for (const oldest of digests) return this.remove(node, oldest);
  }

  remove(node: string, digest: string): void {
    take(this.#nodes, digest, node);
    take(this.#digests, node, digest);
  }

  replace(node: string, digests: string[]): void {
    for (const digest of this.#digests.get(node) ?? []) take(this.#nodes, digest, node);
    this.#digests.delete(node);
    for (const digest of digests) this.add(node, digest);
  }
}

function setOf(sets: Map<string, Set<string>>, key: string): Set<string> {
  let set = sets.get(key);
  if (set === undefined) sets.set(key, (set = new Set()));
  return set;
}

function take(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
