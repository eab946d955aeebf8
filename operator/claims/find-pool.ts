import { isKubeError, type KubeClient, type Stored } from '../engine/kube-client.ts';
import type { ObjectStore } from '../engine/store.ts';
import { WARM_POOLS, type WarmPool } from '../core/resources.ts';
import { claimError } from '../errors.ts';

/** The pool by name, from the cache. A cache may be behind, so "no" is said only after the apiserver has said it. */
export async function findPool(
  deps: { pools: ObjectStore<WarmPool>; kube: KubeClient },
  namespace: string,
  name: string,
): Promise<Stored<WarmPool>> {
  const pool = deps.pools.get(namespace, name) ?? (await readPool(deps.kube, namespace, name));
  if (pool.metadata.deletionTimestamp !== undefined)
    throw claimError('PoolNotFound', `pool ${name} in namespace ${namespace} is being deleted`);
  return pool;
}

async function readPool(kube: KubeClient, namespace: string, name: string): Promise<Stored<WarmPool>> {
  try {
    return await kube.get<WarmPool>(WARM_POOLS, namespace, name, { timeoutMs: 2_000 });
  } catch (error) {
    if (isKubeError(error, 404)) throw claimError('PoolNotFound', `there is no pool ${name} in namespace ${namespace}`);
    throw claimError('KubernetesUnavailable', `pool ${name} in namespace ${namespace} could not be looked up`, {
      cause: error,
      retryAfterSeconds: 1,
    });
  }
}
