import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  batchKillRequestSchema,
  hostLoadRequestSchema,
  type BatchKillReply,
  type NodeEvent,
} from '@warmpool/protocol/host-agent-api.ts';
import { LoadRefused, type PodProcesses } from './pod-processes.ts';

const PING_MS = 2_000;

/** The host-agent API of one node on a unix socket, over processes that are only remembered. */
export class HostAgentStandIn implements AsyncDisposable {
  readonly #node: string;
  readonly #processes: PodProcesses;
  readonly #server: Server;

  private constructor(node: string, processes: PodProcesses) {
    this.#node = node;
    this.#processes = processes;
    this.#server = createServer({ keepAliveTimeout: 300_000, requestTimeout: 0 }, (request, response) => {
      this.#handle(request, response).catch((error: unknown) => refuse(response, 500, 'Internal', String(error)));
    });
  }

  static async start(node: string, processes: PodProcesses, socketPath: string): Promise<HostAgentStandIn> {
    const agent = new HostAgentStandIn(node, processes);
    await new Promise<void>((resolve) => agent.#server.listen(socketPath, resolve));
    return agent;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (`${request.method} ${request.url}`) {
      case 'GET /v1/events':
        return this.#stream(response);
      case 'POST /v1/load':
        return this.#load(await readJson(request), response);
      case 'POST /v1/kill:batch':
        return answer(response, 200, this.#kill(await readJson(request)));
      default:
        return refuse(response, 404, 'NotFound', `the stand-in does not serve ${request.method} ${request.url}`);
    }
  }

  #stream(response: ServerResponse): void {
    const send = (event: NodeEvent): void => void response.write(`${JSON.stringify(event)}\n`);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    send({ type: 'SNAPSHOT', node: this.#node, pods: this.#processes.reports(), digests: [] });
    const stop = this.#processes.onChange((podUid, pod) =>
      send(pod === undefined ? { type: 'POD_GONE', podUid } : { type: 'POD', pod }),
    );
    const pings = setInterval(() => send({ type: 'PING' }), PING_MS);
    response.once('close', () => {
      stop();
      clearInterval(pings);
    });
  }

  async #load(body: unknown, response: ServerResponse): Promise<void> {
    try {
      answer(response, 200, await this.#processes.load(hostLoadRequestSchema.parse(body)));
    } catch (error) {
      if (!(error instanceof LoadRefused)) throw error;
      refuse(response, error.status, error.code, error.message);
    }
  }

  #kill(body: unknown): BatchKillReply {
    const { items } = batchKillRequestSchema.parse(body);
    return {
      items: items.map(({ podUid }) => {
        const killed = this.#processes.kill(podUid);
        return { podUid, statusCode: killed === undefined ? 404 : 202, state: killed?.state ?? 'terminated' };
      }),
    };
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function refuse(response: ServerResponse, statusCode: number, code: string, message: string): void {
  answer(response, statusCode, { statusCode, code, error: code, message });
}
