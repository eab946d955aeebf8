import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { StoredPod } from '@warmpool/operator/core/pod-view.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import type { Actor } from '../actor.ts';
import type { PodTable } from '../pod-table.ts';
import type { Replica } from '../replica.ts';
import type { Truth } from '../truth.ts';
import type { Violate } from '../violation.ts';

/** What an invariant may look at. */
export interface WorldView {
  clock: Clock;
  cluster: MemoryCluster;
  pods: PodTable;
  truth: Truth;
  replicas: readonly Replica[];
  actor: Actor;
  violate: Violate;
  /** Monotonic; `undefined` while faults go on. */
  calmSinceMs(): number | undefined;
}

export interface PodChange {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  pod: StoredPod;
  previous: StoredPod | undefined;
}

export function isReplica(actor: string): boolean {
  return actor.startsWith('replica');
}
