import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { isErrno } from '../errors.ts';
import { BoundedLog } from './bounded-log.ts';
import type { Suspendable } from './boot-yield.ts';
import type { ProcessExit } from './pod-status.ts';

const LOG_LIMIT_BYTES = 1024 * 1024;

export interface PodProcessOptions {
  command: readonly string[];
  env: Readonly<Record<string, string>>;
  /** The pod's folder: working directory, and where its output goes. */
  folder: string;
  onLogError: (error: unknown) => void;
}

/**
 * The process group of one pod. Its leader stands for the container: when it ends, for whatever reason, everything else in the group
 * is killed. A process that left the group (`setsid`) is out of reach; on a cluster the container takes care of those.
 */
export class PodProcess implements Suspendable {
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  #hasExited = false;
  #wasKilled = false;

  constructor({ command, env, folder, onLogError }: PodProcessOptions) {
    const [program = '', ...args] = command;
    // stdin is the lifeline: it is never written to, and ends with this program
    this.#child = spawn(program, args, { cwd: folder, env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdin?.on('error', () => undefined);
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = this.#child[name];
      if (stream) new BoundedLog(path.join(folder, `${name}.log`), LOG_LIMIT_BYTES).drain(stream, onLogError);
    }
    this.exited = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        // after a start that worked, this is a failed kill, not an end
        if (this.#child.pid === undefined) resolve({ code: null, signal: null, spawnError: error.message });
      });
      this.#child.once('exit', (code, signal) => {
        this.#signalGroup('SIGKILL');
        this.#hasExited = true;
        resolve({ code, signal, wasKilled: this.#wasKilled });
      });
    });
  }

  /** Undefined when the command could not be started. */
  get groupId(): number | undefined {
    return this.#child.pid;
  }

  suspend(): void {
    this.#signalGroup('SIGSTOP');
  }

  resume(): void {
    this.#signalGroup('SIGCONT');
  }

  /** Asks the leader to drain, and wakes it up if it was stopped: a stopped process would not notice. */
  terminate(): void {
    this.#signalGroup('SIGCONT');
    if (!this.#hasExited) this.#child.kill('SIGTERM');
  }

  kill(): void {
    this.#wasKilled = true;
    this.#signalGroup('SIGKILL');
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.groupId === undefined || this.#hasExited) return;
    try {
      process.kill(-this.groupId, signal);
    } catch (error) {
      // nobody is left in the group
      if (!isErrno(error, 'ESRCH')) throw error;
    }
  }
}
