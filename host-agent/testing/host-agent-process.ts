import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Pool } from 'undici';
import type { CodeReference } from '@warmpool/protocol/fields.ts';
import type { NodeEvent } from '@warmpool/protocol/host-agent-api.ts';
import { grantPayload, loadGrantSchema } from '@warmpool/protocol/host-agent-api.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const START_LIMIT_MS = 60_000;
const GRANT_KEY = 'a key that only this test knows';

type PlainCode = { [Field in keyof CodeReference]: string };

export interface GrantedPod {
  podUid: string;
  epoch: string;
}

export interface Answer<T = Record<string, unknown>> {
  statusCode: number;
  body: T;
}

/** The real host-agent as a child process, with a client of its API. */
export class HostAgentProcess {
  readonly folder: string;
  readonly child: ChildProcess;
  output = '';
  readonly #pool: Pool;

  private constructor(folder: string, child: ChildProcess) {
    this.folder = folder;
    this.child = child;
    this.#pool = new Pool('http://host-agent', { socketPath: join(folder, 'host-agent.sock'), connections: 64 });
    child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
  }

  /** `folder` holds everything: pods/, store/, cache/ (unless flags say otherwise). */
  static async start(
    folder: string,
    flags: string[] = [],
    env: Record<string, string> = {},
    /** A command that runs the rest of its arguments. */
    wrapper: string[] = [],
  ): Promise<HostAgentProcess> {
    for (const name of ['pods', 'store']) mkdirSync(join(folder, name), { recursive: true });
    const keyFile = join(folder, 'grant.key');
    if (!existsSync(keyFile)) writeFileSync(keyFile, GRANT_KEY);
    const args = [
      MAIN,
      '--listen',
      `unix:${join(folder, 'host-agent.sock')}`,
      '--pods-dir',
      join(folder, 'pods'),
      '--cache-dir',
      join(folder, 'cache'),
      '--store',
      `folder:${join(folder, 'store')}`,
      '--grant-key-file',
      keyFile,
      '--node-name',
      'node-1',
      '--parent-lifeline',
      ...flags,
    ];
    const [file = process.execPath, ...rest] = [...wrapper, process.execPath, ...args];
    const child = spawn(file, rest, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    const agent = new HostAgentProcess(folder, child);
    const deadline = Date.now() + START_LIMIT_MS;
    while (!agent.output.includes('"listening"')) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`host-agent did not start: ${agent.output}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return agent;
  }

  async request<T = Record<string, unknown>>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Answer<T>> {
    const isRaw = typeof body === 'string';
    const answer = await this.#pool.request({
      method,
      path,
      ...(body === undefined
        ? {}
        : { headers: { 'content-type': 'application/json' }, body: isRaw ? body : JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).includes('json');
    return { statusCode: answer.statusCode, body: (isJson ? JSON.parse(text) : text) as T };
  }

  load<T = Record<string, unknown>>(
    pod: GrantedPod,
    code: PlainCode,
    overrides: Record<string, unknown> = {},
  ): Promise<Answer<T>> {
    return this.request<T>('POST', '/v1/load', { ...loadRequest(pod, code), ...overrides });
  }

  /** Follows `GET /v1/events` from its snapshot on. */
  async events(): Promise<EventFollower> {
    const client = new Client('http://host-agent', { socketPath: join(this.folder, 'host-agent.sock') });
    const { body } = await client.request({ method: 'GET', path: '/v1/events' });
    return new EventFollower(client, body);
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    await this.#pool.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const exited = once(this.child, 'exit');
      this.child.kill(signal);
      await exited;
    }
    return this.child.exitCode;
  }
}

export class EventFollower {
  readonly seen: NodeEvent[] = [];
  readonly #client: Client;
  #wake: (() => void) | undefined;
  isEnded = false;

  constructor(client: Client, body: AsyncIterable<Uint8Array>) {
    this.#client = client;
    void this.#read(body);
  }

  /** The first event, seen or to come, that `matches`. */
  async until(matches: (event: NodeEvent) => boolean, limitMs = 5_000): Promise<NodeEvent> {
    const deadline = Date.now() + limitMs;
    for (;;) {
      const found = this.seen.find(matches);
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0 || this.isEnded) throw new Error(`no such event; seen: ${JSON.stringify(this.seen)}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, leftMs);
      });
      clearTimeout(timer);
    }
  }

  podState(podUid: string, state: string, limitMs?: number): Promise<NodeEvent> {
    return this.until(
      (event) =>
        (event.type === 'POD' && event.pod.podUid === podUid && event.pod.state === state) ||
        (event.type === 'SNAPSHOT' && event.pods.some((pod) => pod.podUid === podUid && pod.state === state)),
      limitMs,
    );
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    let rest = '';
    try {
      for await (const chunk of body) {
        const lines = (rest + Buffer.from(chunk).toString()).split('\n');
        rest = lines.pop() ?? '';
        this.seen.push(...lines.map((line) => JSON.parse(line) as NodeEvent));
        this.#wake?.();
      }
    } catch {
      // closed by either side
    }
    this.isEnded = true;
    this.#wake?.();
  }
}

export function grantFor(
  { podUid, epoch }: GrantedPod,
  overrides: Record<string, unknown> = {},
): Record<string, unknown> {
  const grant = {
    podUid,
    epoch,
    claimId: `claim-of-${podUid}`,
    fence: 1,
    expiresAtUnixMs: Date.now() + 30_000,
    nonce: randomBytes(16).toString('hex'),
    ...overrides,
  };
  const parsed = loadGrantSchema.omit({ signature: true }).parse(grant);
  return { ...grant, signature: createHmac('sha256', GRANT_KEY).update(grantPayload(parsed)).digest('hex') };
}

export function loadRequest(pod: GrantedPod, code: PlainCode): Record<string, unknown> {
  return {
    grant: grantFor(pod),
    function: { name: 'hello', version: '1', tenant: 'acme' },
    runtime: { name: 'nodejs', version: '24' },
    kind: 'handler',
    handler: 'index.handler',
    code,
    env: { SECRET: 'canary-value' },
    service: {},
    limits: { requestTimeoutMs: 30_000, initTimeoutMs: 10_000 },
    deadlineUnixMs: Date.now() + 20_000,
  };
}
