import { isKubeError, type KubeClient, type Stored } from '../engine/kube-client.ts';
import { WARM_POOLS, type WarmPool } from '../core/resources.ts';
import { claimError } from '../errors.ts';

/** No claim waits longer than this to be told that the apiserver is away. */
const PROBE_TIMEOUT_MS = 1_000;

/**
 * A claim writes and loads at once, so a write that fails costs a pod. After one that failed because of the apiserver, not of the pod,
 * no further pod is risked before the apiserver has answered again: an outage must not use up a pool. While all is well this asks
 * nothing.
 */
export class ApiserverGuard {
  readonly #kube: KubeClient;
  #isSuspect = false;
  #probe: Promise<void> | undefined;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  /** How the write of a claim failed. */
  noteFailure(error: unknown): void {
    const { status = 404 } = isKubeError(error) ? error : {};
    if (status === 0 || status === 429 || status >= 500) this.#isSuspect = true;
  }

  /** @throws ClaimError `KubernetesUnavailable` while the apiserver is away. */
  async pass(pool: Stored<WarmPool>): Promise<void> {
    if (!this.#isSuspect) return;
    this.#probe ??= this.#ask(pool).finally(() => (this.#probe = undefined));
    await this.#probe;
  }

  async #ask({ metadata: { namespace = '', name } }: Stored<WarmPool>): Promise<void> {
    try {
      await this.#kube.get<WarmPool>(WARM_POOLS, namespace, name, { timeoutMs: PROBE_TIMEOUT_MS });
    } catch (error) {
      // gone, or not ours to read: an answer all the same
      if (!isKubeError(error) || error.isAmbiguous || error.status === 429) {
        const words = isKubeError(error) ? `${error.reason}: ${error.message}` : 'no answer';
        throw claimError('KubernetesUnavailable', `claims cannot be written while the apiserver is away (${words})`, {
          cause: error,
          retryAfterSeconds: 1,
        });
      }
    }
    this.#isSuspect = false;
  }
}
