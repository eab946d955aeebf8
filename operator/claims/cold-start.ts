import { createHash } from 'node:crypto';
import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { ANNOTATION_CLAIM, LABEL_CLAIM, LABEL_STATE } from '@warmpool/protocol/names.ts';
import type { Clock } from '../engine/clock.ts';
import { isKubeError, type KubeClient, type OwnerReference, type Stored } from '../engine/kube-client.ts';
import type { ObjectStore } from '../engine/store.ts';
import { buildStandbyPod } from '../core/build-pod.ts';
import { isFinished, isTerminating, podTrouble, type StoredPod } from '../core/pod-view.ts';
import { PODS, type Pod, type WarmPool } from '../core/resources.ts';
import { WRITE_TIMEOUT_MS } from '../core/write-limits.ts';
import { claimError } from '../errors.ts';
import type { NodeView } from './node-view.ts';
import type { Retirement } from './retirement.ts';
import type { Candidate } from './standby-index.ts';

export interface ColdStartDeps {
  clock: Clock;
  kube: KubeClient;
  nodes: NodeView;
  pods: ObjectStore<Pod>;
  retirement: Retirement;
}

export interface ColdStart {
  pool: Stored<WarmPool>;
  record: ClaimRecord;
  owner: OwnerReference | undefined;
  deadlineMonotonicMs: number;
  signal: AbortSignal;
  /** Then whoever leads now decides from its record what becomes of the pod. */
  isTermOver: () => boolean;
  onCreated: (uid: PodUid) => void;
}

/**
 * A pod made for one claim: created as claimed, so it was never standby for anybody else. Its name follows from the claim id, so
 * two operators cannot both make one.
 */
export async function startCold(
  deps: ColdStartDeps,
  { pool, record, owner, deadlineMonotonicMs, signal, isTermOver, onCreated }: ColdStart,
): Promise<Candidate> {
  const pod = await createPod(deps, pool, record, owner);
  const uid = pod.metadata.uid as PodUid;
  onCreated(uid);
  try {
    return await standby(deps, pod, uid, deadlineMonotonicMs, signal);
  } catch (error) {
    if (!isTermOver()) await deps.retirement.retire(pod, 'it did not become standby for its claim');
    throw error;
  }
}

async function createPod(
  deps: ColdStartDeps,
  pool: Stored<WarmPool>,
  record: ClaimRecord,
  owner: OwnerReference | undefined,
): Promise<StoredPod> {
  const suffix = createHash('sha256').update(record.claimId).digest('hex').slice(0, 10);
  const name = `${pool.metadata.name.slice(0, 45)}-cold-${suffix}`;
  const template = buildStandbyPod(pool, name);
  const { ownerReferences: _, ...metadata } = template.metadata;
  const cold: Pod = {
    ...template,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, [LABEL_STATE]: 'claimed', [LABEL_CLAIM]: record.claimId },
      annotations: { ...metadata.annotations, [ANNOTATION_CLAIM]: JSON.stringify(record) },
      ...(owner !== undefined && { ownerReferences: [owner] }),
    },
  };
  try {
    return await deps.kube.create<Pod>(PODS, pool.metadata.namespace ?? '', cold, { timeoutMs: WRITE_TIMEOUT_MS });
  } catch (error) {
    const words = isKubeError(error) ? `${error.reason}: ${error.message}` : 'no answer';
    throw claimError('KubernetesUnavailable', `cold pod ${name} could not be created (${words})`, {
      cause: error,
      retryAfterSeconds: 1,
    });
  }
}

function standby(
  deps: ColdStartDeps,
  pod: StoredPod,
  uid: PodUid,
  deadlineMonotonicMs: number,
  signal: AbortSignal,
): Promise<Candidate> {
  const { clock, nodes, pods } = deps;
  return new Promise((resolve, reject) => {
    const settle = (action: () => void): void => {
      for (const undo of undos) undo();
      action();
    };
    const check = (): void => {
      const report = nodes.currentReport(uid);
      const current = pods.getByUid(uid);
      if (report?.state === 'standby') {
        const { node, epoch } = report;
        settle(() => resolve({ uid, node, epoch, isUpdated: true, pod: current ?? pod }));
      } else if (
        report?.state === 'failed' ||
        (current !== undefined && (isFinished(current) || isTerminating(current)))
      ) {
        const words = report?.lastError?.message ?? (current === undefined ? 'failed' : podTrouble(current));
        settle(() => reject(claimError('PodLost', `cold pod ${pod.metadata.name} did not start: ${words}`)));
      }
    };
    const onAbort = (): void =>
      settle(() => reject(claimError('ClaimAbandoned', 'the client went away while a cold pod started')));
    const undos = [
      nodes.onChange((changed) => changed === uid && check()),
      pods.onChange((before, after) => (after ?? before)?.metadata.uid === uid && check()),
      clock.after(Math.max(1, deadlineMonotonicMs - clock.monotonic()), () =>
        settle(() =>
          reject(
            claimError(
              'ClaimDeadlineExceeded',
              `cold pod ${pod.metadata.name} was not standby before the claim's deadline`,
            ),
          ),
        ),
      ),
      () => signal.removeEventListener('abort', onAbort),
    ];
    signal.addEventListener('abort', onAbort, { once: true });
    check();
  });
}
