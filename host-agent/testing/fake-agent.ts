import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { join } from 'node:path';

export interface FakeAgentOptions {
  podsDir: string;
  podUid: string;
  /** The pod's own volume, for a pod whose folder the host-agent makes. */
  volume?: string;
  epoch?: string;
  keepAliveMs?: number;
  /** Instead of the normal answer to `POST /v1/load`. */
  onLoad?: (body: LoadBody, response: ServerResponse) => void;
}

interface LoadBody {
  claimId: string;
  code: { path: string; digest: string };
  env: Record<string, string>;
}

/** A runtime-agent that keeps the contract and runs no code. */
export class FakeAgent {
  readonly podUid: string;
  readonly folder: string;
  readonly epoch: string;
  readonly loads: LoadBody[] = [];
  readonly kills: unknown[] = [];
  state = 'standby';
  /** Answers nothing any more, as an agent that user code blocks. */
  isStuck = false;
  #seq = 1;
  readonly #options: FakeAgentOptions;
  readonly #server: Server;

  private constructor(options: FakeAgentOptions) {
    this.#options = options;
    this.podUid = options.podUid;
    this.epoch = options.epoch ?? `epoch-${options.podUid}`;
    this.folder = options.volume ?? join(options.podsDir, options.podUid);
    this.#server = createServer((request, response) => void this.#answer(request, response));
    this.#server.keepAliveTimeout = options.keepAliveMs ?? 0;
  }

  static async start(options: FakeAgentOptions): Promise<FakeAgent> {
    const agent = new FakeAgent(options);
    mkdirSync(agent.folder, { recursive: true });
    const runtime = { name: 'nodejs', version: '24' };
    const { podUid } = options;
    if (options.volume === undefined) {
      writeFileSync(join(agent.folder, 'pod.json'), JSON.stringify({ podUid, runtime, host: '127.0.0.1', port: 4000 }));
    }
    await listenOn(agent.#server, join(agent.folder, 'agent.sock'));
    return agent;
  }

  /** As `kill -9` would: no goodbye on open connections, the socket's file stays. */
  async crash(): Promise<void> {
    await closeServer(this.#server);
    writeFileSync(join(this.folder, 'agent.sock'), '');
  }

  async stop(): Promise<void> {
    await closeServer(this.#server);
  }

  setState(state: string): void {
    this.state = state;
    this.#seq++;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    if (this.isStuck) return;
    const text = Buffer.concat(chunks).toString();
    const [path] = (request.url ?? '').split('?');
    if (path === '/v1/status') return reply(response, 200, this.#status());
    if (path === '/v1/load') return this.#load(JSON.parse(text) as LoadBody, response);
    if (path === '/v1/kill') {
      this.kills.push(JSON.parse(text));
      return reply(response, 202, { state: 'draining' });
    }
    if (path === '/v1/logs') {
      const line = { seq: 1, timeUnixMs: 1, stream: 'stdout', text: `asked ${request.url}` };
      return reply(response, 200, { lines: [line], truncated: false });
    }
    reply(response, 404, { code: 'RouteNotFound', message: path });
  }

  #load(body: LoadBody, response: ServerResponse): void {
    this.loads.push(body);
    if (this.#options.onLoad !== undefined) return this.#options.onLoad(body, response);
    this.setState('ready');
    reply(response, 200, {
      state: 'ready',
      claimId: body.claimId,
      epoch: this.epoch,
      port: 4000,
      timings: { importMs: 0.1, totalMs: 0.2 },
    });
  }

  #status(): unknown {
    const load = this.loads.at(-1);
    return {
      state: this.state,
      epoch: this.epoch,
      seq: this.#seq,
      sinceUnixMs: 1,
      host: '10.9.8.7',
      ...(load === undefined
        ? {}
        : { claimId: load.claimId, digest: load.code.digest, port: 4000, idleSinceUnixMs: 1 }),
      runtime: { name: 'nodejs', version: '24' },
      pid: 1,
      uptimeMs: 1,
      inFlight: 0,
      executions: 0,
      rssMiB: 1,
      requests: [],
    };
  }
}

export function reply(response: ServerResponse, statusCode: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(statusCode, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function listenOn(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve));
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
