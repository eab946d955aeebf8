import { isStandbyLabelled, isTerminating, ownerUidOf } from '../core/pod-view.ts';
import type { Pod, WarmPool } from '../core/resources.ts';
import type { Expectations } from '../engine/expectations.ts';
import type { ObjectStore } from '../engine/store.ts';

/** Tells what the cache shows of the writes that a pool waits for. */
export function followExpectations(
  expectations: Expectations,
  pods: ObjectStore<Pod>,
  pools: ObjectStore<WarmPool>,
): void {
  pods.onChange((before, after) => {
    const pod = after ?? before;
    if (pod === undefined) return;
    const { uid } = pod.metadata;
    const pool = ownerUidOf(pod) ?? (before === undefined ? undefined : ownerUidOf(before));
    if (pool === undefined) return;
    if (before === undefined) expectations.creationObserved(pool, uid);
    if (after === undefined || isTerminating(after) || !isStandbyLabelled(after))
      expectations.deletionObserved(pool, uid);
  });
  pools.onChange((before, after) => {
    if (after === undefined && before !== undefined) expectations.forget(before.metadata.uid);
  });
}
