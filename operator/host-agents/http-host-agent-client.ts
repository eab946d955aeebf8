import { errorBodySchema } from '@warmpool/protocol/errors.ts';
import {
  batchKillReplySchema,
  hostLoadReplySchema,
  nodeEventSchema,
  prefetchListSchema,
  prefetchStatusSchema,
  type NodeEvent,
} from '@warmpool/protocol/host-agent-api.ts';
import { logsReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import { connectPool, exchange, type JsonAnswer, type JsonCall } from '@warmpool/wire/json-client.ts';
import { PlainClient } from '@warmpool/wire/plain-client.ts';
import type { Pool, buildConnector } from 'undici';
import type { z } from 'zod';
import { HostAgentError, type HostAgentClient } from '../claims/host-agent-client.ts';

export interface HostAgentEndpoint {
  node: string;
  /** `unix:/path/to.sock`, or an http(s) origin. */
  endpoint: string;
}

/** One line of a stream may be as large as a snapshot of a big node. */
const LINE_LIMIT_CHARACTERS = 16 * 1024 * 1024;
const CONNECTIONS_PER_NODE = 64;
const IDLE_MS = 60_000;
/** A minute before the host-agent closes it, so that no load is sent into a connection that is being closed. */
const IDLE_LOADS_MS = 540_000;
/**
 * A handshake with both certificates takes the two processes 5 ms, a load of a small function hardly more: twenty loads at once on one
 * connection, while further ones are made, are through before twenty handshakes would be.
 */
const GROW_AFTER_MS = 10;

/** Kept-alive connections to one node. */
interface Lines {
  endpoint: string;
  /** For loads alone: where anything else came on a connection, the host-agent does not take it on its short way any more. */
  loads: PlainClient;
  others: Pool;
}

/** Host-agents over HTTP. A load is sent once and never again. */
export class HttpHostAgentClient implements HostAgentClient {
  readonly #lines: Map<string, Lines>;
  readonly #connector: buildConnector.connector | undefined;

  /** `connector` makes the connections to https endpoints. */
  constructor(endpoints: HostAgentEndpoint[], connector?: buildConnector.connector) {
    this.#connector = connector;
    this.#lines = new Map(endpoints.map(({ node, endpoint }) => [node, connect(endpoint, connector)]));
  }

  /** A node's host-agent is there now and nowhere else; `undefined`: it is gone. What is under way to where it was breaks. */
  move(node: string, endpoint: string | undefined): void {
    const before = this.#lines.get(node);
    if (endpoint === undefined) this.#lines.delete(node);
    else this.#lines.set(node, connect(endpoint, this.#connector));
    if (before !== undefined) destroy(before).catch(() => undefined);
  }

  reset(node: string): void {
    const lines = this.#lines.get(node);
    if (lines !== undefined) this.move(node, lines.endpoint);
  }

  get nodes(): string[] {
    return [...this.#lines.keys()];
  }

  load: HostAgentClient['load'] = (node, request, options) =>
    this.#call(node, hostLoadReplySchema, { method: 'POST', path: '/v1/load', body: request, ...options }, 'loads');

  kill: HostAgentClient['kill'] = async (node, podUid, request, options) => {
    const body = { items: [{ ...request, podUid }] };
    const { items } = await this.#call(node, batchKillReplySchema, {
      method: 'POST',
      path: '/v1/kill:batch',
      body,
      ...options,
    });
    const [item] = items;
    if (item === undefined)
      throw new HostAgentError(502, 'BadReply', `the host-agent of node ${node} answered without an item`);
    return item;
  };

  logs: HostAgentClient['logs'] = (node, podUid, query, options) => {
    const search = new URLSearchParams({
      limitBytes: String(query.limitBytes),
      ...(query.requestId !== undefined && { requestId: query.requestId }),
    });
    return this.#call(node, logsReplySchema, {
      method: 'GET',
      path: `/v1/pods/${podUid}/logs?${search.toString()}`,
      ...options,
    });
  };

  prefetch: HostAgentClient['prefetch'] = (node, request, options) =>
    this.#call(node, prefetchStatusSchema, { method: 'POST', path: '/v1/prefetch', body: request, ...options });

  prefetches: HostAgentClient['prefetches'] = (node, digest, options) =>
    this.#call(node, prefetchListSchema, { method: 'GET', path: `/v1/prefetch?digest=${digest}`, ...options });

  async *events(node: string, signal: AbortSignal): AsyncIterable<NodeEvent> {
    const { statusCode, body } = await this.#to(node).others.request({
      method: 'GET',
      path: '/v1/events',
      signal,
      bodyTimeout: 0,
    });
    if (statusCode !== 200) {
      await body.dump();
      throw new HostAgentError(
        statusCode,
        'BadReply',
        `the host-agent of node ${node} answered ${statusCode} to /v1/events`,
      );
    }
    body.setEncoding('utf8');
    let rest = '';
    for await (const chunk of body as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > LINE_LIMIT_CHARACTERS)
        throw new HostAgentError(0, 'BadReply', `the host-agent of node ${node} sent a line without end`);
      for (const line of lines) if (line !== '') yield nodeEventSchema.parse(JSON.parse(line));
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lines.values()].map(destroy));
  }

  #to(node: string): Lines {
    const lines = this.#lines.get(node);
    if (lines === undefined) throw new HostAgentError(0, 'UnknownNode', `no host-agent is known on node ${node}`);
    return lines;
  }

  async #call<S extends z.ZodType>(
    node: string,
    schema: S,
    call: JsonCall,
    line: keyof Lines = 'others',
  ): Promise<z.output<S>> {
    const { loads, others } = this.#to(node);
    let answer: JsonAnswer;
    try {
      answer = await (line === 'loads' ? loads.exchange(call) : exchange(others, call));
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      throw new HostAgentError(0, 'NoAnswer', `the host-agent of node ${node} did not answer: ${words}`);
    }
    const { statusCode, text } = answer;
    if (statusCode >= 400) throw refusal(statusCode, text, node);
    const parsed = schema.safeParse(parseJson(text));
    if (!parsed.success)
      throw new HostAgentError(0, 'BadReply', `the host-agent of node ${node} sent something that is not a reply`);
    return parsed.data;
  }
}

function connect(endpoint: string, connector: buildConnector.connector | undefined): Lines {
  const others = connectPool(endpoint, {
    connections: CONNECTIONS_PER_NODE,
    keepAliveTimeout: IDLE_MS,
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(connector !== undefined && { connect: connector }),
  });
  const loads = new PlainClient(endpoint, {
    connections: CONNECTIONS_PER_NODE,
    idleMs: IDLE_LOADS_MS,
    ...(endpoint.startsWith('https:') && { growAfterMs: GROW_AFTER_MS }),
    connector,
  });
  return { endpoint, loads, others };
}

async function destroy({ loads, others }: Lines): Promise<void> {
  loads.destroy();
  await others.destroy();
}

function refusal(statusCode: number, text: string, node: string): HostAgentError {
  const body = errorBodySchema.safeParse(parseJson(text));
  if (!body.success)
    return new HostAgentError(statusCode, 'BadReply', `the host-agent of node ${node} answered ${statusCode}`);
  const { code, message, phase, stack } = body.data;
  return new HostAgentError(statusCode, code, message, { phase, userStack: stack });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
