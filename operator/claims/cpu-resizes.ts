import type { ClaimResize } from '@warmpool/protocol/claim-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { planCpuResize, resizeOutcome } from '../core/cpu-resize.ts';
import type { StoredPod } from '../core/pod-view.ts';
import type { Pod } from '../core/resources.ts';
import { isKubeError, type KubeClient } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import type { ClaimLedger, LedgerEntry } from './claim-ledger.ts';

export interface CpuResizesDeps {
  kube: KubeClient;
  pods: ObjectStore<Pod>;
  ledger: ClaimLedger;
  log: Log;
}

const TIMEOUT_MS = 4_000;
const UNSUPPORTED = 'this cluster cannot resize a pod in place (Kubernetes 1.33 and newer can)';

/**
 * Raises the CPU of a pod that a claim owns, beside its load. Nothing waits for it and no claim fails by it: what became of it is
 * written into the claim as it becomes known.
 */
export class CpuResizes {
  readonly #deps: CpuResizesDeps;

  constructor(deps: CpuResizesDeps) {
    this.#deps = deps;
    deps.pods.onChange((_, pod) => pod !== undefined && this.#follow(pod));
  }

  /** `pod` as the write has left it by which it became this claim's. */
  start(entry: LedgerEntry, pod: StoredPod, cpu: string): void {
    const plan = planCpuResize(pod, entry.claimId, cpu);
    if (plan.kind === 'answer') return this.#tell(entry, plan.resize);
    this.#tell(entry, { cpu, state: 'requested' });
    const { namespace = '', name, uid } = pod.metadata;
    this.#deps.kube.patchResize<Pod>(namespace, name, plan.patch, { timeoutMs: TIMEOUT_MS }).then(
      (resized) => {
        if (!this.#isOf(entry, uid)) return;
        this.#tell(entry, { cpu, state: 'accepted' });
        this.#follow(this.#deps.pods.getByUid(uid) ?? resized);
      },
      (error: unknown) => {
        const isUnsupported = isKubeError(error, 404) && !error.message.includes(name);
        const message = error instanceof Error ? error.message : String(error);
        this.#deps.log.warn({ claimId: entry.claimId, pod: name, err: error }, 'the CPU of a pod was not raised');
        if (!this.#isOf(entry, uid)) return;
        if (isUnsupported) this.#tell(entry, { cpu, state: 'unsupported', message: UNSUPPORTED });
        else this.#tell(entry, { cpu, state: 'failed', message });
      },
    );
  }

  #follow(pod: StoredPod): void {
    const entry = this.#deps.ledger.ofPod(pod.metadata.uid as PodUid);
    if (entry?.claim.resize?.state !== 'accepted') return;
    const outcome = resizeOutcome(pod, entry.claim.resize.cpu);
    if (outcome !== undefined) this.#tell(entry, outcome);
  }

  /** The claim may have gone on to another pod, or be over. */
  #isOf(entry: LedgerEntry, uid: string): boolean {
    return entry.podUid === uid;
  }

  #tell(entry: LedgerEntry, resize: ClaimResize): void {
    this.#deps.ledger.update(entry, { resize });
  }
}
