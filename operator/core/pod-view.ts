import { claimRecordSchema, type ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import {
  ANNOTATION_CLAIM,
  ANNOTATION_IDLE_UNTIL,
  LABEL_CLAIM,
  LABEL_POOL,
  LABEL_STATE,
  LABEL_TEMPLATE_HASH,
} from '@warmpool/protocol/names.ts';
import type { Stored } from '../engine/kube-client.ts';
import type { Pod, WarmPool } from './resources.ts';
import { isSidecar } from './sidecars.ts';
import { lastWords } from './stall.ts';

/** How the operator reads a pod object. Pure questions, no state. */

export type StoredPod = Readonly<Stored<Pod>>;

export function poolKey(namespace: string, pool: string): string {
  return `${namespace}/${pool}`;
}

export function poolKeyOf(pod: StoredPod): string {
  return poolKey(pod.metadata.namespace ?? '', pod.metadata.labels?.[LABEL_POOL] ?? '');
}

export function isStandbyLabelled(pod: StoredPod): boolean {
  return pod.metadata.labels?.[LABEL_STATE] === 'standby';
}

export function isClaimed(pod: StoredPod): boolean {
  return pod.metadata.labels?.[LABEL_STATE] === 'claimed';
}

/** The pool removes it; it is out of reach of claims. */
export function isRetiredLabelled(pod: StoredPod): boolean {
  return pod.metadata.labels?.[LABEL_STATE] === 'retired';
}

export function isTerminating(pod: StoredPod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

export function isFinished(pod: StoredPod): boolean {
  return pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
}

/**
 * Why a pod that runs is worth nothing to us, in words. A restarted container has lost what was loaded into it, and without one of its
 * sidecars a pod is not whole.
 */
export function containerTrouble(pod: StoredPod): string | undefined {
  const containers = pod.status?.containerStatuses ?? [];
  if (containers.some(({ restartCount }) => restartCount > 0)) return 'a container restarted';
  const ended = containers.find(({ name, state }) => state?.terminated !== undefined && isSidecar(pod, name));
  return ended && `its sidecar ${ended.name} has ended with exit code ${ended.state?.terminated?.exitCode}`;
}

export function isOwnedBy(pod: StoredPod, pool: Stored<WarmPool>): boolean {
  return (
    pod.metadata.ownerReferences?.some((owner) => owner.controller === true && owner.uid === pool.metadata.uid) ?? false
  );
}

/** Of the pool that keeps it; a pool that is made again under its name is another one. */
export function ownerUidOf(pod: StoredPod): string | undefined {
  return pod.metadata.ownerReferences?.find((owner) => owner.controller === true)?.uid;
}

export function templateHashOf(pod: StoredPod): string | undefined {
  return pod.metadata.labels?.[LABEL_TEMPLATE_HASH];
}

export function claimIdOf(pod: StoredPod): string | undefined {
  return pod.metadata.labels?.[LABEL_CLAIM];
}

/** Undefined when somebody else has written rubbish there: such a pod is not ours to trust. */
export function claimRecordOf(pod: StoredPod): ClaimRecord | undefined {
  const text = pod.metadata.annotations?.[ANNOTATION_CLAIM];
  if (text === undefined) return undefined;
  try {
    return claimRecordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

export function idleUntilOf(pod: StoredPod): number | undefined {
  const text = pod.metadata.annotations?.[ANNOTATION_IDLE_UNTIL];
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

export function createdAtUnixMs(pod: StoredPod): number {
  return Date.parse(pod.metadata.creationTimestamp);
}

/** What went wrong with a pod, in the words of whoever said it. */
export function podTrouble(pod: StoredPod): string {
  const parts = [pod.status?.reason, pod.status?.message ?? lastWords(pod)].filter(
    (part) => part !== undefined && part !== '',
  );
  return parts.length > 0 ? parts.join(': ') : `phase ${pod.status?.phase ?? 'Pending'}`;
}
