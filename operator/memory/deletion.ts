import type { KubeObject, ObjectMeta, Stored } from '../engine/kube-client.ts';
import { isJsonObject, type JsonObject, withMembers } from './json.ts';
import type { KindRules } from './kind-rules.ts';
import { apiTime } from './server-fields.ts';

export type DeletionPlan =
  | { kind: 'remove' }
  /** The object stays, marked, until the kubelet or a finalizer's owner is done. */
  | { kind: 'mark'; object: JsonObject }
  | { kind: 'nothing' };

type Meta = ObjectMeta & { deletionGracePeriodSeconds?: number };

export function planDeletion(
  stored: Stored<KubeObject>,
  rules: KindRules,
  gracePeriodSeconds: number | undefined,
  nowMs: number,
): DeletionPlan {
  const object = stored as unknown as JsonObject;
  const metadata: Meta = stored.metadata;
  const grace = rules.deletesGracefully ? podGraceSeconds(object, gracePeriodSeconds) : 0;
  const hasFinalizers = (metadata.finalizers?.length ?? 0) > 0;
  if (grace === 0 && !hasFinalizers) return { kind: 'remove' };
  const isShortened = grace < (metadata.deletionGracePeriodSeconds ?? 0);
  if (metadata.deletionTimestamp !== undefined && !isShortened) return { kind: 'nothing' };
  const marked: Meta = {
    ...metadata,
    deletionTimestamp: apiTime(nowMs + grace * 1000),
    deletionGracePeriodSeconds: grace,
  };
  // A shortened grace period is not a second change of mind.
  if (metadata.generation !== undefined && metadata.deletionTimestamp === undefined) {
    marked.generation = metadata.generation + 1;
  }
  return { kind: 'mark', object: withMembers(object, { metadata: Object.freeze(marked) }) };
}

/** Nothing runs for a pod without a node or one that has ended: such pods go at once. */
function podGraceSeconds(pod: JsonObject, wanted: number | undefined): number {
  const spec = isJsonObject(pod['spec']) ? pod['spec'] : {};
  const phase = isJsonObject(pod['status']) ? pod['status']['phase'] : undefined;
  if (!spec['nodeName'] || phase === 'Succeeded' || phase === 'Failed') return 0;
  const seconds = wanted ?? spec['terminationGracePeriodSeconds'];
  return typeof seconds === 'number' ? (seconds < 0 ? 1 : seconds) : 30;
}
