import { existsSync } from 'node:fs';
import type { StatusReply } from '@warmpool/protocol/runtime-agent-api.ts';
import { statusReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { JsonCall } from '@warmpool/wire/json-client.ts';
import { PlainClient } from '@warmpool/wire/plain-client.ts';
import type { PodFolder } from './pod-folder.ts';

/** A load may hold one connection for long; status, logs and kill need others beside it. */
const CONNECTIONS = 4;
const KEEP_ALIVE_MS = 600_000;
const WATCHDOG_AFTER_MS = 300;

export interface AgentAnswer {
  statusCode: number;
  body: unknown;
}

/** HTTP to the runtime-agent of one pod, over kept-alive connections of which one is opened before it is needed. */
export class AgentClient {
  readonly #folder: PodFolder;
  readonly #client: PlainClient;

  /** `onDisconnect`: a connection that was open has closed; the process may be gone, or just tidy. */
  constructor(folder: PodFolder, onDisconnect: () => void) {
    this.#folder = folder;
    const options = { connections: CONNECTIONS, idleMs: KEEP_ALIVE_MS, onDisconnect };
    this.#client = new PlainClient(`unix:${folder.agentSocket}`, options);
  }

  get isConnected(): boolean {
    return this.#client.isConnected;
  }

  call(request: JsonCall): Promise<AgentAnswer> {
    return send(this.#client, request);
  }

  async status(timeoutMs: number): Promise<StatusReply> {
    const { statusCode, body } = await this.call({
      method: 'GET',
      path: '/v1/status',
      timeoutMs,
    });
    if (statusCode !== 200) throw new Error(`GET /v1/status of the runtime-agent answers ${statusCode}`);
    return statusReplySchema.parse(body);
  }

  /** Asks the agent first; if user code keeps it from answering, the watchdog beside it. */
  async kill(body: unknown, timeoutMs: number): Promise<AgentAnswer> {
    const hasWatchdog = existsSync(this.#folder.watchdogSocket);
    const firstMs = hasWatchdog ? Math.min(WATCHDOG_AFTER_MS, timeoutMs) : timeoutMs;
    try {
      return await this.call({ method: 'POST', path: '/v1/kill', body, timeoutMs: firstMs });
    } catch (error) {
      if (!hasWatchdog) throw error;
    }
    const watchdog = new PlainClient(`unix:${this.#folder.watchdogSocket}`, { connections: 1, idleMs: timeoutMs });
    try {
      return await send(watchdog, { method: 'POST', path: '/v1/kill', body, timeoutMs });
    } finally {
      watchdog.destroy();
    }
  }

  close(): void {
    this.#client.destroy();
  }
}

async function send(client: PlainClient, call: JsonCall): Promise<AgentAnswer> {
  const { statusCode, text } = await client.exchange(call);
  return { statusCode, body: text === '' ? undefined : parseJson(text) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Nothing of the request can have been read: there was no connection to write it to. */
export function isNeverSent(error: unknown): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException;
  return syscall === 'connect' && (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'EAGAIN');
}
