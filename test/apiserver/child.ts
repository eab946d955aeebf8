import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** One process of the control plane: its output goes to a file, it is ended by its pid. */
export class Child {
  readonly #process: ChildProcess;
  readonly #logPath: string;
  readonly #exited: Promise<void>;

  private constructor(process: ChildProcess, logPath: string) {
    this.#process = process;
    this.#logPath = logPath;
    this.#exited = new Promise((resolve) => process.once('close', () => resolve()));
    process.once('error', () => undefined);
  }

  static async start(path: string, args: string[], logPath: string): Promise<Child> {
    const log = await open(logPath, 'w');
    try {
      return new Child(spawn(path, args, { stdio: ['ignore', log.fd, log.fd] }), logPath);
    } finally {
      await log.close();
    }
  }

  /** Polls until `isReady` says so; fails with the end of the log when it never does or the process ends. */
  async waitUntil(isReady: () => Promise<boolean>, limitMs: number): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (Date.now() < deadline && this.#process.exitCode === null && this.#process.signalCode === null) {
      if (await isReady().catch(() => false)) return;
      await delay(50);
    }
    const log = await readFile(this.#logPath, 'utf8');
    throw new Error(`${this.#process.spawnfile} is not ready:\n${log.slice(-4000)}`);
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    const isGone = await Promise.race([this.#exited.then(() => true), delay(5_000, false, { ref: false })]);
    if (isGone) return;
    this.#process.kill('SIGKILL');
    await this.#exited;
  }
}
