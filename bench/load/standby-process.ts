import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FunctionFile } from '@warmpool/local/packing/function-file.ts';
import { POD_CODE_FOLDER } from '@warmpool/protocol/names.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { FreePorts } from '../../conformance/targets/free-ports.ts';
import type { CpuLimit } from './cpu-limit.ts';
import { LeanClient, type LeanAnswer } from './lean-client.ts';

const BOOT_TIMEOUT_MS = 120_000;
const INIT_TIMEOUT_MS = 120_000;
const QUIET_TIMEOUT_MS = 5_000;
const QUIET_STEP_MS = 60;
const QUIET_CPU_MS = 0.5;

const ports = new FreePorts();

export interface StandbyOptions {
  settings: Record<string, string>;
  limit: CpuLimit | undefined;
  env: Readonly<Record<string, string | undefined>>;
}

export interface Memory {
  pssMiB: number;
  rssMiB: number;
}

/** One runtime process, started as the launch contract says, with the connection that a host-agent would hold to it. */
export class StandbyProcess {
  readonly limit: CpuLimit | undefined;
  readonly port: number;
  bootMs = 0;
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #runtime: PresentRuntime;
  #control: LeanClient | undefined;
  #errors = '';

  private constructor(runtime: PresentRuntime, port: number, { settings, limit, env }: StandbyOptions) {
    this.limit = limit;
    this.port = port;
    this.#runtime = runtime;
    this.#folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-load-'));
    const [program = '', ...args] = [...(limit?.entrance ?? []), ...runtime.command];
    this.#child = spawn(program, args, {
      cwd: this.#folder,
      stdio: ['pipe', 'ignore', 'pipe'],
      env: {
        PATH: env['PATH'],
        HOME: this.#folder,
        WARMPOOL_SOCKET: this.#socketPath,
        WARMPOOL_HOST: '127.0.0.1',
        WARMPOOL_PORT: String(port),
        WARMPOOL_RUNTIME_NAME: runtime.name,
        WARMPOOL_RUNTIME_VERSION: runtime.version,
        WARMPOOL_LIFELINE: '1',
        ...settings,
      },
    });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#errors += chunk.toString('utf8')));
  }

  static async start(runtime: PresentRuntime, options: StandbyOptions): Promise<StandbyProcess> {
    const standby = new StandbyProcess(runtime, await ports.take(), options);
    const startedMs = performance.now();
    try {
      while (!existsSync(standby.#socketPath)) {
        if (standby.#child.exitCode !== null || performance.now() - startedMs > BOOT_TIMEOUT_MS)
          throw new Error(`a ${runtime.name} process did not become standby: ${standby.#errors}`);
        await sleep(1);
      }
      standby.bootMs = performance.now() - startedMs;
      standby.#control = await LeanClient.open({ path: standby.#socketPath });
      await standby.#ask('GET', '/v1/health');
      return standby;
    } catch (error) {
      await standby.end();
      throw error;
    }
  }

  get #socketPath(): string {
    return path.join(this.#folder, 'agent.sock');
  }

  /** Until the process does nothing any more: a pod has mostly been idle when its claim comes. */
  async quiet(): Promise<void> {
    const untilMs = performance.now() + QUIET_TIMEOUT_MS;
    for (let before = this.limit?.usedCpuMs() ?? 0; performance.now() < untilMs;) {
      await sleep(QUIET_STEP_MS);
      const after = this.limit?.usedCpuMs() ?? 0;
      if (after - before < QUIET_CPU_MS) return;
      before = after;
    }
  }

  /** A copy of the tree where a pod has its code. Gives its path. */
  bringHome(treeDir: string): string {
    const home = path.join(this.#folder, POD_CODE_FOLDER);
    cpSync(treeDir, home, { recursive: true });
    return home;
  }

  load(fn: FunctionFile, treeDir: string): Promise<LeanAnswer> {
    return this.#ask('POST', '/v1/load', {
      claimId: 'bench',
      fence: 1,
      function: { name: fn.name, version: '1', tenant: 'bench' },
      runtime: { name: this.#runtime.name, version: this.#runtime.version },
      kind: fn.kind,
      handler: fn.handler,
      code: { path: treeDir, digest: `sha256:${'0'.repeat(64)}` },
      env: fn.env,
      service: {},
      limits: { requestTimeoutMs: INIT_TIMEOUT_MS, initTimeoutMs: INIT_TIMEOUT_MS },
    });
  }

  /** The example's own request to the served port, on a new connection. */
  async firstRequest({ invoke }: FunctionFile): Promise<LeanAnswer> {
    const client = await LeanClient.open({ host: '127.0.0.1', port: this.port });
    try {
      return await client.send({ method: invoke.method, path: invoke.path, body: invoke.body });
    } finally {
      client.close();
    }
  }

  /** Of the process and of those that it has started. */
  memory(): Memory {
    const sum = { pssMiB: 0, rssMiB: 0 };
    for (const pid of familyOf(this.#child.pid ?? 0)) {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      sum.pssMiB += kibibytes(rollup, 'Pss') / 1024;
      sum.rssMiB += kibibytes(rollup, 'Rss') / 1024;
    }
    return sum;
  }

  /** Processor time of the main threads of the same processes; needs no control group. */
  mainThreadsCpuMs(): number {
    const spentNs = familyOf(this.#child.pid ?? 0).map((pid) =>
      Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]),
    );
    return spentNs.reduce((sum, ns) => sum + ns / 1e6, 0);
  }

  async end(): Promise<void> {
    this.#control?.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGKILL');
      await exited;
    }
    await this.limit?.remove();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ask(method: string, route: string, body?: unknown): Promise<LeanAnswer> {
    if (this.#control === undefined) throw new Error('the process is not standby');
    const answer = await this.#control.send({ method, path: route, body });
    if (answer.status !== 200) throw new Error(`${route} was answered with ${answer.status}: ${answer.text}`);
    return answer;
  }
}

function familyOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(familyOf)];
}

function kibibytes(rollup: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(rollup)?.[1] ?? Number.NaN);
}
