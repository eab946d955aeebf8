import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { describeRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime, RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import type { Fixture } from '../../contract/runtime-agent/fixtures.ts';
import { freePort } from '../../support/free-port.ts';

const BOOT_DEADLINE_MS = 20_000;
const ANSWER_DEADLINE_MS = 20_000;
const POLL_MS = 5;

export const PYTHON_FOLDER = fileURLToPath(new URL('../../../runtime-agent/bootstrap/python', import.meta.url));

export const pythonRuntime = (): Promise<RuntimeDescription> => describeRuntime(PYTHON_FOLDER);

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  /** The body as JSON; undefined when it is not JSON. */
  body: Record<string, unknown>;
}

export interface PythonProcess {
  pid: number;
  folder: string;
  port: number;
  load(fixture: Fixture, fields?: Record<string, unknown>): Promise<Answer>;
  invoke(event: unknown, headers?: Record<string, string>): Promise<Answer>;
  post(route: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(route: string): Promise<Answer>;
  onPort(method: string, route: string, body?: string, headers?: Record<string, string>): Promise<Answer>;
  /**
   * Writes the pieces to the function's port one after another and gives all that came back until the other side closed. With `awaited`,
   * every piece but the first is sent once that has come.
   */
  raw(pieces: string[], awaited?: string): Promise<string>;
  /** The texts of the lines that `/v1/logs` has for a request. */
  linesOf(requestId: string): Promise<string[]>;
  kill(signal: NodeJS.Signals): void;
  pauseOutput(): void;
  resumeOutput(): void;
  exited: Promise<number | NodeJS.Signals>;
  output(): string;
  stop(): Promise<void>;
}

export async function startPython(runtime: PresentRuntime, env: Record<string, string> = {}): Promise<PythonProcess> {
  const folder = await mkdtemp(path.join(tmpdir(), 'wp-python-'));
  const socketPath = path.join(folder, 'agent.sock');
  const port = await freePort();
  const [program = '', ...args] = runtime.command;
  const child = spawn(program, args, {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      CONTAINER_ONLY: 'of the container',
      WARMPOOL_SOCKET: socketPath,
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: String(port),
      WARMPOOL_RUNTIME_NAME: runtime.name,
      WARMPOOL_RUNTIME_VERSION: runtime.version,
      WARMPOOL_LIFELINE: '1',
      ...env,
    },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stdin.on('error', () => {});
  let hasExited = false;
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.on('close', (code, signal) => {
      hasExited = true;
      resolve(code ?? signal ?? -1);
    });
  });
  const stop = async (): Promise<void> => {
    child.stdin.end();
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  await until(() => hasExited || existsSync(socketPath), 'the socket to appear', BOOT_DEADLINE_MS);
  const send = (method: string, route: string, body?: string, headers: Record<string, string> = {}): Promise<Answer> =>
    call({ socketPath, method, path: route, headers }, body);
  const post = (route: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
    send('POST', route, JSON.stringify(body), { 'content-type': 'application/json', ...headers });

  return {
    pid: child.pid ?? -1,
    folder,
    port,
    load: async (fixture, fields = {}) => {
      const codePath = path.join(folder, 'code');
      for (const [name, content] of Object.entries(fixture.files)) {
        await mkdir(path.dirname(path.join(codePath, name)), { recursive: true });
        await writeFile(path.join(codePath, name), content);
      }
      return post('/v1/load', { ...aLoad(runtime, fixture.handler, codePath), ...fields });
    },
    invoke: (event, headers) => post('/v1/invoke', event, headers),
    post,
    get: (route) => send('GET', route),
    onPort: (method, route, body, headers) => call({ host: '127.0.0.1', port, method, path: route, headers }, body),
    raw: (pieces, awaited) => rawExchange(port, pieces, awaited),
    linesOf: async (requestId) => {
      const { body } = await send('GET', `/v1/logs?requestId=${requestId}`);
      const { lines } = z.object({ lines: z.array(z.object({ text: z.string() })) }).parse(body);
      return lines.map(({ text }) => text);
    },
    kill: (signal) => void child.kill(signal),
    pauseOutput: () => void child.stdout.pause(),
    resumeOutput: () => void child.stdout.resume(),
    exited,
    output: () => output,
    stop,
  };
}

function aLoad(runtime: PresentRuntime, handler: string, codePath: string): Record<string, unknown> {
  return {
    claimId: 'claim-1',
    fence: 1,
    function: { name: 'greeter', version: '1', tenant: 'acme' },
    runtime: { name: runtime.name, version: runtime.version },
    kind: handler.endsWith('.py') ? 'http' : 'handler',
    handler,
    code: { path: codePath, digest: `sha256:${'a'.repeat(64)}` },
    env: {},
    service: {},
    limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000 },
  };
}

export async function terminationOf(python: PythonProcess): Promise<Record<string, unknown>> {
  const text = await readFile(path.join(python.folder, 'termination.json'), 'utf8');
  return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
}

export async function until(isTrue: () => boolean, what: string, deadlineMs = 5_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await pause(POLL_MS);
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

interface Target {
  socketPath?: string;
  host?: string;
  port?: number;
  method: string;
  path: string;
  headers?: Record<string, string> | undefined;
}

function call(target: Target, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { ...target.headers, 'content-length': String(Buffer.byteLength(body)) };
    const outgoing = request({ ...target, headers, agent: false, timeout: ANSWER_DEADLINE_MS }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', reject);
      incoming.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, body: parsed(text) });
      });
    });
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer to ${target.method} ${target.path}`)));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function rawExchange(port: number, pieces: string[], awaited = ''): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setNoDelay(true);
  let received = '';
  const closed = new Promise<string>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    socket.on('error', reject);
    socket.on('end', () => resolve(received));
    socket.setTimeout(ANSWER_DEADLINE_MS, () => reject(new Error(`the connection stayed open after: ${received}`)));
  });
  const isWaiting = (): boolean => !socket.destroyed && !received.includes(awaited);
  for (const [at, piece] of pieces.entries()) {
    if (at > 0) while (isWaiting()) await pause(1);
    // Each piece is its own segment, so that the parser sees it alone.
    await new Promise((resolve) => socket.write(piece, resolve));
    await pause(1);
  }
  return closed.finally(() => socket.destroy());
}

function parsed(text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text));
  } catch {
    return {};
  }
}
