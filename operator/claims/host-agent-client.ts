import type { KillRequest } from '@warmpool/protocol/claim-api.ts';
import type {
  BatchKillReply,
  HostLoadReply,
  HostLoadRequest,
  NodeEvent,
  PrefetchList,
  PrefetchRequest,
  PrefetchStatus,
} from '@warmpool/protocol/host-agent-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { LogsReply } from '@warmpool/protocol/runtime-agent-api.ts';

/** The operator's side of the host-agents' API. Rejects with {@link HostAgentError} only. */
export interface HostAgentClient {
  load(node: string, request: HostLoadRequest, options: { timeoutMs: number }): Promise<HostLoadReply>;
  kill(
    node: string,
    podUid: PodUid,
    request: Partial<KillRequest>,
    options: { timeoutMs: number },
  ): Promise<BatchKillReply['items'][number]>;
  logs(
    node: string,
    podUid: PodUid,
    query: { requestId?: string | undefined; limitBytes: number },
    options: { timeoutMs: number },
  ): Promise<LogsReply>;
  /** Changes nothing when that code is on its way already. */
  prefetch(node: string, request: PrefetchRequest, options: { timeoutMs: number }): Promise<PrefetchStatus>;
  prefetches(node: string, digest: string, options: { timeoutMs: number }): Promise<PrefetchList>;
  /** Nothing is heard from there: what is under way fails now, and what follows takes new connections. */
  reset(node: string): void;
  /** One connection's worth of events, a SNAPSHOT first. Ends or throws when the connection does. */
  events(node: string, signal: AbortSignal): AsyncIterable<NodeEvent>;
}

/** `status` 0: no answer came, so what was asked for may or may not have happened. */
export class HostAgentError extends Error {
  override readonly name = 'HostAgentError';
  readonly status: number;
  readonly code: string;
  readonly phase: string | undefined;
  readonly userStack: string | undefined;

  constructor(
    status: number,
    code: string,
    message: string,
    extra: { phase?: string | undefined; userStack?: string | undefined } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.phase = extra.phase;
    this.userStack = extra.userStack;
  }
}
