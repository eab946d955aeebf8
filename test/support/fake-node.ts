import type { PodUid } from '@warmpool/protocol/fields.ts';
import type {
  HostLoadReply,
  HostLoadRequest,
  NodeEvent,
  PodReport,
  PrefetchRequest,
  PrefetchStatus,
} from '@warmpool/protocol/host-agent-api.ts';
import { HostAgentError, type HostAgentClient } from '@warmpool/operator/claims/host-agent-client.ts';
import { PODS, type Pod } from '@warmpool/operator/core/resources.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';

const PING_MS = 2_000;

export interface FakeNodeOptions {
  name?: string;
  bootMs?: number;
  loadMs?: number;
  /** Where other nodes would get code from it. */
  peerUrl?: string;
}

/**
 * One node for operator tests: boots every pod, speaks as its host-agent and as the runtime-agents in it (one load per process),
 * ends deleted pods. Tests bend it through `beforeLoad` and `report`.
 */
export class FakeNode implements HostAgentClient {
  readonly name: string;
  readonly loads: HostLoadRequest[] = [];
  readonly killed: string[] = [];
  readonly prefetchRequests: PrefetchRequest[] = [];
  /** By digest, of what was asked for; a test says how far it is. */
  readonly prefetched = new Map<string, PrefetchStatus>();
  /** What a load does before it succeeds; throw a HostAgentError to make it fail. */
  beforeLoad: (request: HostLoadRequest) => Promise<void> | void = () => undefined;
  bootMs: number;
  loadMs: number;
  readonly #peerUrl: string | undefined;
  readonly #clock: Clock;
  readonly #kube: KubeClient;
  readonly #reports = new Map<string, PodReport>();
  readonly #streams = new Set<(event: NodeEvent) => void>();
  #port = 20_000;
  #isSilent = false;
  #isMute = false;
  /** Ends what is under way, as a broken connection does. */
  #reset = Promise.withResolvers<never>();

  constructor(clock: Clock, cluster: MemoryCluster, options: FakeNodeOptions = {}) {
    this.#clock = clock;
    this.#kube = cluster.client();
    this.name = options.name ?? 'node-1';
    this.bootMs = options.bootMs ?? 20;
    this.loadMs = options.loadMs ?? 1;
    this.#peerUrl = options.peerUrl;
    const seen = new Set<string>();
    cluster.onChange(({ object }) => {
      if (object.kind !== 'Pod') return;
      const pod = object as Stored<Pod>;
      const { uid, deletionTimestamp } = pod.metadata;
      if (deletionTimestamp !== undefined) this.#clock.after(1, () => this.#end(pod));
      else if (!seen.has(uid)) {
        seen.add(uid);
        this.#clock.after(this.bootMs, () => void this.#boot(pod));
      }
    });
  }

  load: HostAgentClient['load'] = async (_node, request): Promise<HostLoadReply> => {
    this.loads.push(request);
    const { podUid, claimId, epoch } = request.grant;
    const report = this.#reports.get(podUid);
    if (report === undefined) throw new HostAgentError(404, 'PodUnknown', `pod ${podUid} is not on this node`);
    if (report.state !== 'standby') throw new HostAgentError(409, 'PodNotStandby', `pod ${podUid} is ${report.state}`);
    this.report(podUid, { state: 'loading', claimId, digest: request.code.digest });
    try {
      await Promise.race([this.beforeLoad(request), this.#reset.promise]);
      await new Promise<void>((resolve) => void this.#clock.after(this.loadMs, resolve));
    } catch (error) {
      this.report(podUid, { state: 'failed', lastError: { code: 'Failed', message: String(error) } });
      throw error;
    }
    const address = { host: '127.0.0.1', port: this.#port++ };
    this.report(podUid, {
      state: 'ready',
      claimId,
      digest: request.code.digest,
      address,
      idleSinceUnixMs: this.#clock.now(),
    });
    const timings = { fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: this.loadMs, importMs: 0.5, totalMs: this.loadMs };
    return { claimId, podUid, epoch, address, codeSource: 'cache', timings };
  };

  kill: HostAgentClient['kill'] = (_node, podUid) => {
    this.killed.push(podUid);
    if (this.#reports.has(podUid)) this.report(podUid, { state: 'terminated' });
    return Promise.resolve({ podUid, statusCode: 202, state: 'terminated' });
  };

  prefetch: HostAgentClient['prefetch'] = (_node, request) => {
    this.prefetchRequests.push(request);
    const { digest, format } = request.code;
    const status = this.prefetched.get(digest) ?? { digest, format, state: 'queued', receivedBytes: 0 };
    this.prefetched.set(digest, status);
    return Promise.resolve(status);
  };

  prefetches: HostAgentClient['prefetches'] = (_node, digest) =>
    Promise.resolve({ items: [...this.prefetched.values()].filter((status) => status.digest === digest) });

  logs: HostAgentClient['logs'] = () => Promise.resolve({ lines: [], truncated: false });

  async *events(_node: string, signal: AbortSignal): AsyncIterable<NodeEvent> {
    while (this.#isMute && !signal.aborted) await new Promise<void>((resolve) => void this.#clock.after(100, resolve));
    const pods = [...this.#reports.values()];
    const waiting: NodeEvent[] = [
      { type: 'SNAPSHOT', node: this.name, pods, digests: [], ...(this.#peerUrl && { peerUrl: this.#peerUrl }) },
    ];
    let wake = (): void => undefined;
    const push = (event: NodeEvent): void => {
      waiting.push(event);
      wake();
    };
    this.#streams.add(push);
    const ping = (): void => {
      if (signal.aborted || !this.#streams.has(push)) return;
      if (!this.#isMute) push({ type: 'PING' });
      this.#clock.after(PING_MS, ping);
    };
    this.#clock.after(PING_MS, ping);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted && !this.#isSilent) {
        const next = waiting.shift();
        if (next !== undefined) yield next;
        else await new Promise<void>((resolve) => void (wake = resolve));
      }
    } finally {
      this.#streams.delete(push);
    }
  }

  /** Its host-agent is away: streams end, and new ones end at once. */
  silence(isSilent: boolean): void {
    this.#isSilent = isSilent;
    for (const push of this.#streams) push({ type: 'PING' });
  }

  reset(_node: string): void {
    this.#reset.promise.catch(() => undefined);
    this.#reset.reject(new HostAgentError(0, 'NoAnswer', 'the client was closed'));
    this.#reset = Promise.withResolvers();
  }

  /** It is cut off: streams stay open and nothing comes, and new ones begin with nothing. */
  mute(isMute: boolean): void {
    this.#isMute = isMute;
  }

  stateOf(podUid: string): PodReport['state'] | undefined {
    return this.#reports.get(podUid)?.state;
  }

  /** What the node says about a pod from now on. */
  report(podUid: string, change: Partial<PodReport>): void {
    const before = this.#reports.get(podUid) ?? {
      podUid: podUid as PodUid,
      epoch: `epoch-${podUid}`,
      state: 'standby' as const,
      seq: 0,
      inFlight: 0,
    };
    const pod: PodReport = { ...before, ...change, seq: before.seq + 1 };
    this.#reports.set(podUid, pod);
    if (!this.#isMute) for (const push of this.#streams) push({ type: 'POD', pod });
  }

  async #boot(pod: Stored<Pod>): Promise<void> {
    const { namespace = '', name, uid } = pod.metadata;
    try {
      await this.#kube.patch(PODS, namespace, name, { metadata: { uid }, spec: { nodeName: this.name } });
      await this.#kube.patchStatus(PODS, namespace, name, { status: { phase: 'Running', podIP: '127.0.0.1' } });
      this.report(uid, { state: 'standby' });
    } catch {
      // it was deleted before it ran
    }
  }

  #end(pod: Stored<Pod>): void {
    const { namespace = '', name, uid } = pod.metadata;
    if (this.#reports.delete(uid)) for (const push of this.#streams) push({ type: 'POD_GONE', podUid: uid as PodUid });
    this.#kube.delete(PODS, namespace, name, { uid, gracePeriodSeconds: 0 }).catch(() => undefined);
  }
}
