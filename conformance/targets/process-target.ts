import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { FunctionSet } from '../functions.ts';
import { Instance } from '../instance.ts';
import type { ExitStatus, ProcessHandle, StartSettings } from '../instance.ts';
import type { Target } from '../lane.ts';
import { FreePorts } from './free-ports.ts';

const BOOT_TIMEOUT_MS = 30_000;

export interface ProcessTargetFacts {
  runtime: { name: string; version: string };
  functions: FunctionSet;
  codePath: string;
  /** What the kit's own PATH is: containers and processes get it. */
  path: string;
  /** Words that start one process; the settings are those that the contract names. */
  words: (folder: string, settings: Record<string, string>) => string[];
  /** A container has the settings in its words, and its own environment. */
  isContainer?: boolean;
}

/** Starts one process per standby, as the launch section of the contract says. */
export class ProcessTarget implements Target {
  readonly ownsProcesses = true;
  readonly offers: ReadonlySet<string>;
  readonly #facts: ProcessTargetFacts;
  readonly #ports = new FreePorts();

  constructor(facts: ProcessTargetFacts) {
    this.#facts = facts;
    this.offers = new Set(facts.functions.offers);
  }

  async start({ env = {}, returnsEarly = false }: StartSettings = {}): Promise<Instance> {
    const { runtime, functions, codePath, words, isContainer = false } = this.#facts;
    const folder = mkdtempSync(path.join(os.tmpdir(), 'warmpool-conformance-'));
    const socketPath = path.join(folder, 'agent.sock');
    const port = await this.#ports.take();
    const settings = {
      WARMPOOL_SOCKET: socketPath,
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: String(port),
      WARMPOOL_RUNTIME_NAME: runtime.name,
      WARMPOOL_RUNTIME_VERSION: runtime.version,
      WARMPOOL_LIFELINE: '1',
      ...env,
    };
    const [program = '', ...args] = words(folder, settings);
    const own = { PATH: this.#facts.path, HOME: folder };
    const child = launch(program, args, folder, isContainer ? own : { ...own, ...settings });
    const instance = new Instance({
      control: { socketPath },
      servedHost: '127.0.0.1',
      port,
      runtime,
      functions,
      codePath,
      process: child.handle,
      dispose: async () => {
        await child.end();
        rmSync(folder, { recursive: true, force: true });
      },
    });
    if (returnsEarly) return instance;
    try {
      await instance.until('the socket to appear', () => existsSync(socketPath) || child.hasEnded(), BOOT_TIMEOUT_MS);
      if (!existsSync(socketPath))
        throw new Error(`the process ended before it was standby; it wrote:\n${child.handle.output()}`);
    } catch (error) {
      await instance.dispose();
      throw error;
    }
    return instance;
  }
}

interface Launched {
  handle: ProcessHandle;
  hasEnded: () => boolean;
  end: () => Promise<void>;
}

/** A process without a lifeline, or that ignores it, is killed. */
function launch(program: string, args: string[], cwd: string, env: Record<string, string>): Launched {
  const child = spawn(program, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
  child.stdin.on('error', () => {});
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const exited = new Promise<ExitStatus>((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`${program} cannot be started: ${error.message}`)));
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
  });
  exited.catch(() => {});
  const handle: ProcessHandle = {
    ...(child.pid !== undefined && { pid: child.pid }),
    exited,
    signal: (name) => void child.kill(name),
    endLifeline: () => void child.stdin.end(),
    output: () => output,
  };
  const end = async (): Promise<void> => {
    child.stdin.end();
    if (!hasEnded()) child.kill('SIGKILL');
    await exited.catch(() => {});
  };
  return { handle, hasEnded, end };
}
