import type { PodUid } from '@warmpool/protocol/fields.ts';
import { sleep, type Clock } from '../engine/clock.ts';
import { isKubeError, type KubeClient } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import { jitteredBackoffMs, type Random } from '../engine/random.ts';
import { PODS } from '../core/resources.ts';
import type { StoredPod } from '../core/pod-view.ts';
import type { HostAgentClient } from './host-agent-client.ts';
import type { NodeView } from './node-view.ts';
import type { StandbyIndex } from './standby-index.ts';

export interface RetirementDeps {
  clock: Clock;
  random: Random;
  kube: KubeClient;
  hostAgents: HostAgentClient;
  nodes: NodeView;
  index: StandbyIndex;
  log: Log;
}

const RETRIES = 5;
/** The process was told to die already; one that could not hear it (user code blocks it) is the kubelet's to kill. */
const GRACE_SECONDS = 1;
const DELETE_TIMEOUT_MS = 2_000;
const KILL_TIMEOUT_MS = 1_000;

/**
 * The end of a pod that a claim had: its process is killed through its node first (so that no user code goes on while the
 * apiserver is slow), then the object is deleted. Deletion is by uid, so another pod of the same name is safe. What fails here is
 * tried again by the instance keeper, for as long as the object is there.
 */
export class Retirement {
  readonly #deps: RetirementDeps;
  readonly #underWay = new Map<PodUid, Promise<void>>();

  constructor(deps: RetirementDeps) {
    this.#deps = deps;
  }

  isUnderWay(uid: PodUid): boolean {
    return this.#underWay.has(uid);
  }

  get size(): number {
    return this.#underWay.size;
  }

  /**
   * Resolves when the process was told to die and the apiserver has answered the first attempt to delete the object; what is left to
   * do goes on by itself. Never rejects.
   */
  retire(pod: StoredPod, reason: string): Promise<void> {
    const uid = pod.metadata.uid as PodUid;
    const known = this.#underWay.get(uid);
    if (known !== undefined) return known;
    this.#deps.index.retire(uid);
    this.#deps.log.info({ pod: pod.metadata.name, uid, reason }, 'retiring pod');
    const begun = this.#begin(pod, uid, reason);
    this.#underWay.set(uid, begun);
    return begun;
  }

  async #begin(pod: StoredPod, uid: PodUid, reason: string): Promise<void> {
    await this.#kill(uid, reason);
    if (await this.#delete(pod, uid)) this.#underWay.delete(uid);
    else void this.#deleteLater(pod, uid).finally(() => this.#underWay.delete(uid));
  }

  async #deleteLater(pod: StoredPod, uid: PodUid): Promise<void> {
    const { clock, random } = this.#deps;
    for (let attempt = 0; attempt < RETRIES; attempt++) {
      await sleep(clock, jitteredBackoffMs(attempt, 200, 5_000, random));
      if (await this.#delete(pod, uid)) return;
    }
  }

  /** True when the object is gone or another one by now. */
  async #delete(pod: StoredPod, uid: PodUid): Promise<boolean> {
    const { namespace = '', name } = pod.metadata;
    try {
      await this.#deps.kube.delete(PODS, namespace, name, {
        uid,
        gracePeriodSeconds: GRACE_SECONDS,
        timeoutMs: DELETE_TIMEOUT_MS,
      });
      return true;
    } catch (error) {
      if (isKubeError(error, 404) || isKubeError(error, 409)) return true;
      this.#deps.log.warn({ pod: name, uid, err: error }, 'deleting pod failed');
      return false;
    }
  }

  async #kill(uid: PodUid, reason: string): Promise<void> {
    const report = this.#deps.nodes.report(uid);
    if (report === undefined || !this.#deps.nodes.isHeard(report.node)) return;
    try {
      await this.#deps.hostAgents.kill(
        report.node,
        uid,
        { mode: 'force', graceMs: 0, reason },
        { timeoutMs: KILL_TIMEOUT_MS },
      );
    } catch (error) {
      this.#deps.log.debug({ uid, err: error }, 'killing through the host-agent failed; the kubelet will');
    }
  }
}
