import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Reaper } from './reaper/reaper.ts';
import { LocalError } from './errors.ts';

const HOST_AGENT_MAIN = fileURLToPath(import.meta.resolve('@warmpool/host-agent/main.ts'));
const START_LIMIT_MS = 15_000;
const STOP_LIMIT_MS = 5_000;
const RESTART_BASE_MS = 200;
const RESTART_LIMIT_MS = 5_000;
/** One that lived this long did not die of its start. */
const STEADY_MS = 10_000;

export interface HostAgentProcessOptions {
  nodeName: string;
  socketPath: string;
  podsDir: string;
  cacheDir: string;
  storeUrl: string;
  grantKeyFile: string;
  logLevel: string;
  hostEnv: Readonly<Record<string, string | undefined>>;
  extraArgs: string[];
}

/** The host-agent of this machine's one node, as a process of its own, started again when it dies. */
export class HostAgentProcess {
  readonly #deps: { reaper: Reaper; log: Logger };
  readonly #options: HostAgentProcessOptions;
  #child: ChildProcess | undefined;
  #stopping = false;
  #quickDeaths = 0;

  constructor(deps: { reaper: Reaper; log: Logger }, options: HostAgentProcessOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when its socket is there. */
  async start(): Promise<void> {
    const child = this.#spawn();
    const untilMs = performance.now() + START_LIMIT_MS;
    while (performance.now() < untilMs) {
      if (child.exitCode !== null || child.signalCode !== null) break;
      const isThere = await access(this.#options.socketPath).then(
        () => true,
        () => false,
      );
      if (isThere) return;
      await new Promise((resolve) => void setTimeout(resolve, 10));
    }
    this.#stopping = true;
    throw new LocalError(
      'HostAgentUnavailable',
      'The host-agent did not start; its words are above, and more with --log-level info.',
    );
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(timer);
  }

  #spawn(): ChildProcess {
    const { nodeName, socketPath, podsDir, cacheDir, storeUrl, grantKeyFile, logLevel, hostEnv, extraArgs } =
      this.#options;
    const args = [
      HOST_AGENT_MAIN,
      ...['--node-name', nodeName],
      ...['--listen', `unix:${socketPath}`],
      ...['--pods-dir', podsDir],
      ...['--cache-dir', cacheDir],
      ...['--store', storeUrl],
      ...['--grant-key-file', grantKeyFile],
      ...['--log-level', logLevel],
      '--parent-lifeline',
      ...extraArgs,
    ];
    const child = spawn(process.execPath, args, {
      cwd: path.dirname(HOST_AGENT_MAIN),
      detached: true,
      env: pick(hostEnv, [
        'PATH',
        'HOME',
        'TMPDIR',
        'AWS_ACCESS_KEY_ID',
        'AWS_SECRET_ACCESS_KEY',
        'AWS_SESSION_TOKEN',
        'AWS_REGION',
      ]),
      stdio: ['pipe', 'inherit', 'inherit'],
    });
    this.#child = child;
    const startedMs = performance.now();
    const { pid } = child;
    if (pid !== undefined) this.#deps.reaper.add(pid);
    child.on('error', (error) => this.#deps.log.error({ err: error }, 'the host-agent could not be started'));
    child.on('exit', (code, signal) => {
      if (pid !== undefined) this.#deps.reaper.remove(pid);
      if (this.#stopping) return;
      this.#deps.log.warn({ code, signal }, 'the host-agent ended; starting it again');
      this.#quickDeaths = performance.now() - startedMs < STEADY_MS ? this.#quickDeaths + 1 : 0;
      const delayMs = Math.min(RESTART_LIMIT_MS, RESTART_BASE_MS * 2 ** this.#quickDeaths);
      setTimeout(() => this.#stopping || this.#spawn(), delayMs);
    });
    return child;
  }
}

function pick(env: Readonly<Record<string, string | undefined>>, names: string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
