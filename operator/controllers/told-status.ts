import type { WarmPool } from '../core/resources.ts';
import type { Stored } from '../engine/kube-client.ts';

/**
 * What this process has written last to each pool's status. A watch that lags shows the status as it was before that: compared with it,
 * everything would be news, and conditions would have changed at times at which they did not.
 */
export class ToldStatus {
  readonly #written = new Map<string, Stored<WarmPool>>();

  /** The pool with the newer status of the two. */
  latest(key: string, pool: Stored<WarmPool>): Stored<WarmPool> {
    const written = this.#written.get(key);
    if (written === undefined) return pool;
    if (written.metadata.uid === pool.metadata.uid && written.status !== undefined && !isAtLeast(pool, written))
      return { ...pool, status: written.status };
    this.#written.delete(key);
    return pool;
  }

  /** `pool` as the apiserver has answered the write. */
  told(key: string, pool: Stored<WarmPool>): void {
    this.#written.set(key, pool);
  }

  forget(key: string): void {
    this.#written.delete(key);
  }
}

/** Versions of one resource are decimal numbers that grow (KEP-5504); of what is not one, only the same is known to be as new. */
function isAtLeast(a: Stored<WarmPool>, b: Stored<WarmPool>): boolean {
  const [left, right] = [a.metadata.resourceVersion, b.metadata.resourceVersion];
  if (![left, right].every((version) => /^\d{1,20}$/.test(version))) return left === right;
  return BigInt(left) >= BigInt(right);
}
