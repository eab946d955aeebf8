import { sleep } from '@warmpool/operator/engine/clock.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import { isKubeError } from '@warmpool/operator/engine/kube-client.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import { jitteredBackoffMs } from '@warmpool/operator/engine/random.ts';
import type { Random } from '@warmpool/operator/engine/random.ts';
import { PODS } from '@warmpool/operator/core/resources.ts';
import type { Pod, PodStatus } from '@warmpool/operator/core/resources.ts';

const ATTEMPT_LIMIT = 6;

export interface PodWritesDeps {
  client: KubeClient;
  clock: Clock;
  random: Random;
}

/** The three writes of a kubelet. All may be repeated safely, and name the pod's uid: a pod of the same name is another pod. */
export class PodWrites {
  readonly #deps: PodWritesDeps;

  constructor(deps: PodWritesDeps) {
    this.#deps = deps;
  }

  /** Does nothing when the pod has changed or is gone: the watch will tell. */
  async bind(pod: Stored<Pod>, nodeName: string): Promise<void> {
    const { name, uid, resourceVersion } = pod.metadata;
    const patch = { metadata: { uid, resourceVersion }, spec: { nodeName } };
    await this.#attempt(() => this.#deps.client.patch<Pod>(PODS, namespaceOf(pod), name, patch));
  }

  async status(pod: Stored<Pod>, status: PodStatus): Promise<void> {
    const { name, uid } = pod.metadata;
    const patch = { metadata: { uid }, status };
    await this.#attempt(() => this.#deps.client.patchStatus<Pod>(PODS, namespaceOf(pod), name, patch));
  }

  /** Takes the object away: the pod's process and folder are gone. */
  async finishDeletion(pod: Stored<Pod>): Promise<void> {
    const { name, uid } = pod.metadata;
    const options = { uid, gracePeriodSeconds: 0 };
    await this.#attempt(() => this.#deps.client.delete(PODS, namespaceOf(pod), name, options));
  }

  async #attempt(write: () => Promise<unknown>): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await write();
        return;
      } catch (error) {
        if (isKubeError(error, 404) || isKubeError(error, 409)) return;
        const isPassing = isKubeError(error) && (error.isAmbiguous || error.status === 429);
        if (!isPassing || attempt + 1 >= ATTEMPT_LIMIT) throw error;
        await sleep(this.#deps.clock, jitteredBackoffMs(attempt, 50, 2000, this.#deps.random));
      }
    }
  }
}

function namespaceOf(pod: Pod): string {
  return pod.metadata.namespace ?? 'default';
}
