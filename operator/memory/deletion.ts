import type { KubeObject, ObjectMeta, Stored } from '../engine/kube-client.ts';
import { isJsonObject, type JsonObject, withMembers } from './json.ts';
import type { KindRules } from './kind-rules.ts';
import { apiTime } from './server-fields.ts';

export interface DeletionPlan {
  /** The object with the mark of deletion, to be written first. */
  marked: JsonObject | undefined;
  /** Nobody has to finish anything: the object goes now. */
  isRemoved: boolean;
}

type Meta = ObjectMeta & { deletionGracePeriodSeconds?: number };

export function planDeletion(
  stored: Stored<KubeObject>,
  rules: KindRules,
  gracePeriodSeconds: number | undefined,
  nowMs: number,
): DeletionPlan {
  const object = stored as unknown as JsonObject;
  const metadata: Meta = stored.metadata;
  const isMarked = metadata.deletionTimestamp !== undefined;
  const hasFinalizers = (metadata.finalizers?.length ?? 0) > 0;
  const wanted = rules.deletesGracefully ? podGraceSeconds(object, gracePeriodSeconds) : 0;
  const grace = isMarked ? Math.min(wanted, metadata.deletionGracePeriodSeconds ?? 0) : wanted;
  const isRemoved = grace === 0 && !hasFinalizers;

  const isShortened = isMarked && grace < (metadata.deletionGracePeriodSeconds ?? 0);
  // A kind with grace is marked even when the grace is nothing: watchers see both steps.
  const needsMark = isShortened || (!isMarked && (rules.deletesGracefully || !isRemoved));
  if (!needsMark) return { marked: undefined, isRemoved };
  const deletion: Meta = {
    ...metadata,
    deletionTimestamp: apiTime(nowMs + grace * 1000),
    deletionGracePeriodSeconds: grace,
  };
  if (metadata.generation !== undefined && !isMarked) deletion.generation = metadata.generation + 1;
  return { marked: withMembers(object, { metadata: Object.freeze(deletion) }), isRemoved };
}

/** Nothing runs for a pod without a node or one that has ended: such pods go at once. */
function podGraceSeconds(pod: JsonObject, wanted: number | undefined): number {
  const spec = isJsonObject(pod['spec']) ? pod['spec'] : {};
  const phase = isJsonObject(pod['status']) ? pod['status']['phase'] : undefined;
  if (!spec['nodeName'] || phase === 'Succeeded' || phase === 'Failed') return 0;
  const seconds = wanted ?? spec['terminationGracePeriodSeconds'];
  return typeof seconds === 'number' ? (seconds < 0 ? 1 : seconds) : 30;
}
