import { createdAtUnixMs, isTerminating } from '../core/pod-view.ts';
import type { Pod } from '../core/resources.ts';
import type { Stored } from '../engine/kube-client.ts';
import { ObjectStore, type StoreDeps } from '../engine/store.ts';

export interface HostAgentPodsOptions {
  namespace: string;
  labelSelector: string;
  port: number;
  /** Where the host-agent of a node is now; `undefined`: there is none any more. */
  onMoved(node: string, endpoint: string | undefined): void;
}

/** Which nodes have a host-agent, and at which address: what the DaemonSet's pods say. */
export class HostAgentPods {
  readonly pods: ObjectStore<Pod>;
  readonly #options: HostAgentPodsOptions;
  readonly #endpoints = new Map<string, string>();

  constructor(deps: StoreDeps, options: HostAgentPodsOptions) {
    this.#options = options;
    this.pods = new ObjectStore<Pod>(deps, { node: (pod) => [pod.spec.nodeName ?? ''] });
    this.pods.onChange((before, after) => {
      for (const node of new Set([before?.spec.nodeName, after?.spec.nodeName])) if (node) this.#look(node);
    });
  }

  #look(node: string): void {
    const [newest] = this.pods
      .byIndex('node', node)
      .filter(isReachable)
      .sort((a, b) => createdAtUnixMs(b) - createdAtUnixMs(a));
    const ip = newest?.status?.podIP;
    const endpoint = ip && `https://${ip.includes(':') ? `[${ip}]` : ip}:${this.#options.port}`;
    if (endpoint === this.#endpoints.get(node)) return;
    if (endpoint) this.#endpoints.set(node, endpoint);
    else this.#endpoints.delete(node);
    this.#options.onMoved(node, endpoint);
  }
}

function isReachable(pod: Readonly<Stored<Pod>>): boolean {
  return pod.status?.phase === 'Running' && pod.status.podIP !== undefined && !isTerminating(pod);
}
