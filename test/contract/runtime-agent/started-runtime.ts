import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { statusReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { StatusReply } from '@warmpool/protocol/runtime-agent-api.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { Fixture } from './fixtures.ts';
import { send } from './socket-client.ts';
import type { Answer, Outgoing } from './socket-client.ts';
import { FreePorts } from '../../../conformance/targets/free-ports.ts';

const BOOT_TIMEOUT_MS = 20_000;
const EXIT_TIMEOUT_MS = 15_000;

export interface StartOptions {
  /** More environment for the container, besides `PATH`. */
  env?: Record<string, string>;
  /** Return at once instead of waiting for the socket. */
  returnsEarly?: boolean;
}

export interface Termination {
  reason: string;
  message: string;
  requestId?: string;
}

/** One runtime process started as the launch contract says, in a folder of its own. */
export class StartedRuntime {
  readonly folder: string;
  readonly socketPath: string;
  readonly watchdogPath: string;
  readonly port: number;
  readonly runtime: PresentRuntime;
  readonly child: ChildProcess;
  /** What the process wrote to stdout and stderr. */
  output = '';
  readonly #exited: Promise<{ exitCode: number | null; signal: string | null }>;

  private constructor(runtime: PresentRuntime, folder: string, port: number, options: StartOptions) {
    this.runtime = runtime;
    this.folder = folder;
    this.port = port;
    this.socketPath = path.join(folder, 'agent.sock');
    this.watchdogPath = path.join(folder, 'watchdog.sock');
    const [program = '', ...args] = runtime.command;
    this.child = spawn(program, args, {
      cwd: folder,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        WARMPOOL_SOCKET: this.socketPath,
        WARMPOOL_HOST: '127.0.0.1',
        WARMPOOL_PORT: String(port),
        WARMPOOL_RUNTIME_NAME: runtime.name,
        WARMPOOL_RUNTIME_VERSION: runtime.version,
        WARMPOOL_LIFELINE: '1',
        ...options.env,
      },
    });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString('utf8')));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.output += chunk.toString('utf8')));
    this.#exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    });
    this.#exited.catch(() => {});
  }

  static async start(runtime: PresentRuntime, options: StartOptions = {}): Promise<StartedRuntime> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-runtime-'));
    const started = new StartedRuntime(runtime, folder, await new FreePorts().take(), options);
    if (options.returnsEarly === true) return started;
    await started.until('the socket to appear', () => existsSync(started.socketPath), BOOT_TIMEOUT_MS);
    return started;
  }

  /** Polls until `holds`, and fails with what was waited for and what the process wrote. */
  async until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await holds())) {
      if (performance.now() > deadline) {
        throw new Error(`waited ${timeoutMs} ms for ${what}; the process wrote:\n${this.output}`);
      }
      await sleep(5);
    }
  }

  async send(outgoing: Outgoing): Promise<Answer> {
    try {
      return await send({ socketPath: this.socketPath }, outgoing);
    } catch (error) {
      const { exitCode, signalCode } = this.child;
      const ended = `exit code ${exitCode}, signal ${signalCode}`;
      if (error instanceof Error) error.message += ` (${outgoing.path}; ${ended}; the process wrote: ${this.output})`;
      throw error;
    }
  }

  /** To the port that the function is served on. */
  serve(outgoing: Outgoing): Promise<Answer> {
    return send({ host: '127.0.0.1', port: this.port }, outgoing);
  }

  /** To whichever socket answers while user code blocks. */
  sendToWatchdog(outgoing: Outgoing): Promise<Answer> {
    return existsSync(this.watchdogPath) ? send({ socketPath: this.watchdogPath }, outgoing) : this.send(outgoing);
  }

  /** Writes the fixture's files and gives a load request for them, with `changes` laid over it. */
  loadRequest(fixture: Fixture, changes: Record<string, unknown> = {}): Record<string, unknown> {
    const codePath = path.join(this.folder, 'code');
    mkdirSync(codePath, { recursive: true });
    for (const [name, content] of Object.entries(fixture.files)) {
      const file = path.join(codePath, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
    return {
      claimId: 'claim-1',
      fence: 5,
      function: { name: 'orders/checkout', version: '1.2.3', tenant: 'acme' },
      runtime: { name: this.runtime.name, version: this.runtime.version },
      kind: 'handler',
      handler: fixture.handler,
      code: { path: codePath, digest: `sha256:${'a'.repeat(64)}` },
      env: { GREETING: 'hello' },
      service: { region: 'north' },
      limits: { requestTimeoutMs: 10_000, initTimeoutMs: 10_000 },
      ...changes,
    };
  }

  load(fixture: Fixture, changes: Record<string, unknown> = {}): Promise<Answer> {
    return this.send({ path: '/v1/load', body: this.loadRequest(fixture, changes) });
  }

  invoke(body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send({ path: '/v1/invoke', body, headers });
  }

  async status(): Promise<StatusReply> {
    return statusReplySchema.parse((await this.send({ method: 'GET', path: '/v1/status' })).json);
  }

  async exited(timeoutMs = EXIT_TIMEOUT_MS): Promise<{ exitCode: number | null; signal: string | null }> {
    const late = sleep(timeoutMs, undefined, { ref: false }).then(() => {
      throw new Error(`the process did not end within ${timeoutMs} ms; it wrote:\n${this.output}`);
    });
    return Promise.race([this.#exited, late]);
  }

  termination(): Termination | undefined {
    const file = path.join(this.folder, 'termination.json');
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Termination) : undefined;
  }

  async dispose(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await this.#exited.catch(() => {});
    rmSync(this.folder, { recursive: true, force: true });
  }
}
