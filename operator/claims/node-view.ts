import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { NodeEvent, PodReport } from '@warmpool/protocol/host-agent-api.ts';
import { CodeLocations } from './code-locations.ts';

export interface NodePodReport extends PodReport {
  readonly node: string;
}

/**
 * What the host-agents say about the pods of their nodes, while they can be heard. When a node's stream breaks, its reports are
 * kept for reading but count no longer as proof that a pod is standby.
 */
export class NodeView {
  readonly code = new CodeLocations();
  readonly #reports = new Map<PodUid, NodePodReport>();
  readonly #heard = new Set<string>();
  readonly #peerUrls = new Map<string, string>();
  readonly #listeners = new Set<(uid: PodUid) => void>();

  report(uid: PodUid): NodePodReport | undefined {
    return this.#reports.get(uid);
  }

  /** Only what a node says now, not what one said before its stream broke. */
  currentReport(uid: PodUid): NodePodReport | undefined {
    const report = this.#reports.get(uid);
    return report !== undefined && this.#heard.has(report.node) ? report : undefined;
  }

  isHeard(node: string): boolean {
    return this.#heard.has(node);
  }

  /** Of those that can be heard. */
  nodes(): Iterable<string> {
    return this.#heard;
  }

  /** Where other nodes get code from this one; `undefined` when it gives none or cannot be heard. */
  peerUrl(node: string): string | undefined {
    return this.#peerUrls.get(node);
  }

  get heardNodes(): number {
    return this.#heard.size;
  }

  apply(node: string, event: NodeEvent): void {
    switch (event.type) {
      case 'SNAPSHOT':
        this.#snapshot(node, event);
        return;
      case 'POD':
        this.#set(node, event.pod);
        return;
      case 'POD_GONE':
        if (this.#reports.get(event.podUid)?.node === node) this.#remove(event.podUid);
        return;
      case 'CACHED':
        this.code.add(node, event.digest);
        return;
      case 'EVICTED':
        this.code.remove(node, event.digest);
        return;
      case 'PING':
        return;
    }
  }

  /** The node's stream broke: nothing on it may be offered until it is heard again. */
  silence(node: string): void {
    if (!this.#heard.delete(node)) return;
    this.code.replace(node, []);
    this.#peerUrls.delete(node);
    for (const [uid, report] of this.#reports) if (report.node === node) this.#tell(uid);
  }

  onChange(listener: (uid: PodUid) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #snapshot(node: string, snapshot: Extract<NodeEvent, { type: 'SNAPSHOT' }>): void {
    this.#heard.add(node);
    this.code.replace(node, snapshot.digests);
    if (snapshot.peerUrl === undefined) this.#peerUrls.delete(node);
    else this.#peerUrls.set(node, snapshot.peerUrl);
    const present = new Set(snapshot.pods.map((pod) => pod.podUid));
    for (const [uid, report] of this.#reports) {
      if (report.node === node && !present.has(uid)) this.#remove(uid);
    }
    for (const pod of snapshot.pods) this.#set(node, pod);
  }

  #set(node: string, pod: PodReport): void {
    const before = this.#reports.get(pod.podUid);
    // a late line of the same process must not undo a newer one
    if (before !== undefined && before.node === node && before.epoch === pod.epoch && before.seq > pod.seq) return;
    this.#reports.set(pod.podUid, { ...pod, node });
    this.#tell(pod.podUid);
  }

  #remove(uid: PodUid): void {
    if (this.#reports.delete(uid)) this.#tell(uid);
  }

  #tell(uid: PodUid): void {
    for (const listener of this.#listeners) listener(uid);
  }
}
