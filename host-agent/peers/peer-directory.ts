import { LRUCache } from 'lru-cache';
import type { Random } from '../core/backoff.ts';
import { CircuitBreaker } from '../core/circuit-breaker.ts';

const MAX_DIGESTS = 4_096;
const MAX_PEERS = 4_096;

/** Which peers may have which code, as the operator last said, and which of them have failed lately. */
export class PeerDirectory {
  readonly #random: Random;
  readonly #peers = new LRUCache<string, readonly string[]>({ max: MAX_DIGESTS });
  readonly #breakers = new LRUCache<string, CircuitBreaker>({ max: MAX_PEERS });

  constructor(random: Random) {
    this.#random = random;
  }

  /** URLs, the best first. */
  learn(digest: string, peers: readonly string[]): void {
    if (peers.length === 0) this.#peers.delete(digest);
    else this.#peers.set(digest, peers);
  }

  peersOf(digest: string): readonly string[] {
    return this.#peers.get(digest) ?? [];
  }

  breaker(peer: string): CircuitBreaker {
    const known = this.#breakers.get(peer);
    if (known !== undefined) return known;
    const breaker = new CircuitBreaker(this.#random);
    this.#breakers.set(peer, breaker);
    return breaker;
  }
}
