import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { LocalError } from '../errors.ts';

const SCRIPT = fileURLToPath(new URL('reap.sh', import.meta.url));
const RESTART_LIMIT = 5;
const RESTART_DELAY_MS = 100;
const STOP_LIMIT_MS = 5000;

/**
 * Everything started here dies with this program, also after `kill -9` of it: a child in a session of its own holds the list of
 * process groups, and the kernel closes its pipe when we are gone. It is a shell script because it must cost nothing while it waits.
 */
export class Reaper {
  readonly #runDir: string;
  readonly #log: Pick<Logger, 'warn' | 'error'>;
  readonly #groups = new Set<number>();
  #child: ChildProcess | undefined;
  #restarts = 0;
  #stopping = false;

  private constructor(runDir: string, log: Pick<Logger, 'warn' | 'error'>) {
    this.#runDir = runDir;
    this.#log = log;
  }

  /** Resolves when the reaper process is there; from then on `runDir` is removed when this program ends. */
  static async start(runDir: string, log: Pick<Logger, 'warn' | 'error'>): Promise<Reaper> {
    const reaper = new Reaper(runDir, log);
    const child = reaper.#spawn();
    try {
      await once(child, 'spawn');
    } catch (error) {
      throw new LocalError(
        'ReaperUnavailable',
        `The shell that cleans up after a crash cannot be started: sh: ${String(error)}`,
        {
          cause: error,
        },
      );
    }
    return reaper;
  }

  /** The pid of the reaper process itself. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** `groupId` is the pid of a process that was started detached: the leader of its group. */
  add(groupId: number): void {
    this.#groups.add(groupId);
    this.#child?.stdin?.write(`+${groupId}\n`);
  }

  /** To be called as soon as the group is gone: the system will use its number again. */
  remove(groupId: number): void {
    this.#groups.delete(groupId);
    this.#child?.stdin?.write(`-${groupId}\n`);
  }

  /** Kills what is still listed and removes the run directory. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    // none when it has just died: a new one does the work
    const child = this.#child ?? this.#spawn();
    const exited = once(child, 'exit', { signal: AbortSignal.timeout(STOP_LIMIT_MS) });
    child.stdin?.end();
    try {
      await exited;
    } catch (error) {
      this.#log.error({ err: error, runDir: this.#runDir }, `the reaper did not end within ${STOP_LIMIT_MS} ms`);
    }
  }

  #spawn(): ChildProcess {
    const child = spawn('/bin/sh', [SCRIPT, this.#runDir], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
      env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    });
    this.#child = child;
    // a broken pipe means that it died; its exit is what we act on
    child.stdin?.on('error', () => undefined);
    child.on('error', (error) => this.#log.error({ err: error }, 'the reaper could not be started'));
    child.once('exit', (code, signal) => this.#onExit(code, signal));
    child.stdin?.write([...this.#groups].map((group) => `+${group}\n`).join(''));
    return child;
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null): void {
    this.#child = undefined;
    if (this.#stopping) return;
    if (this.#restarts >= RESTART_LIMIT) {
      this.#log.error(
        { code, signal },
        `the reaper died ${RESTART_LIMIT + 1} times; processes may outlive a crash now`,
      );
      return;
    }
    this.#restarts += 1;
    this.#log.warn({ code, signal }, 'the reaper died and is started again');
    setTimeout(() => {
      if (!this.#stopping) this.#spawn();
    }, RESTART_DELAY_MS).unref();
  }
}
