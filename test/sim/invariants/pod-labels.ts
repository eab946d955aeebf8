import { LABEL_CLAIM, LABEL_STATE } from '@warmpool/protocol/names.ts';
import type { StoredPod } from '@warmpool/operator/core/pod-view.ts';
import type { RuntimeProcess } from '../runtime-process.ts';
import { isSameFunction } from '../truth.ts';
import type { PodChange, WorldView } from './world-view.ts';

/** I1: a pod leaves standby once, for one claim or for none, and a process is loaded once. */
export class PodLabels {
  readonly #view: WorldView;

  constructor(view: WorldView) {
    this.#view = view;
  }

  onPod({ type, pod, previous }: PodChange): void {
    if (type !== 'MODIFIED' || previous === undefined) return;
    this.#checkState(stateOf(previous), stateOf(pod), pod);
    this.#checkClaim(claimOf(previous), claimOf(pod), pod);
  }

  onLoad(process: RuntimeProcess): void {
    if (process.loads.length > 1)
      this.#view.violate('I1', `the process of pod ${process.podUid} was loaded twice: ${process.loads.join(', ')}`);
  }

  #checkState(before: string, after: string, pod: StoredPod): void {
    if (before === after) return;
    const isAllowed = before === 'standby' && (after === 'claimed' || after === 'retired');
    if (!isAllowed) this.#view.violate('I1', `pod ${pod.metadata.name} went from ${before} to ${after}`);
    if (after === 'claimed' && pod.metadata.ownerReferences?.some(({ kind }) => kind === 'WarmPool') === true)
      this.#view.violate('I1', `pod ${pod.metadata.name} is claimed and still owned by its pool`);
  }

  #checkClaim(before: string | undefined, after: string | undefined, pod: StoredPod): void {
    if (before === undefined || before === after) return;
    const { truth, violate } = this.#view;
    const from = truth.claims.get(before);
    const to = after === undefined ? undefined : truth.claims.get(after);
    const isReuse =
      from !== undefined &&
      to !== undefined &&
      from.releaseSentAtMs !== undefined &&
      from.wantsKeepWarm &&
      isSameFunction(from, to);
    if (!isReuse) violate('I1', `pod ${pod.metadata.name} of claim ${before} was given to claim ${after ?? 'nobody'}`);
  }
}

function stateOf(pod: StoredPod): string {
  return pod.metadata.labels?.[LABEL_STATE] ?? 'unlabelled';
}

function claimOf(pod: StoredPod): string | undefined {
  return pod.metadata.labels?.[LABEL_CLAIM];
}
