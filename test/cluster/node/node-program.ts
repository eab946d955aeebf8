import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onlyChild, type Slice, type TestNode } from './test-node.ts';

const RESTART_DELAY_MS = 500;
const LOG_TAIL_BYTES = 4000;

/** A program of the test node that is started again whenever it ends, as a service manager would; its output goes to a file. */
export class NodeProgram {
  readonly name: string;
  readonly #node: TestNode;
  readonly #command: string[];
  readonly #slice: Slice;
  readonly #logPath: string;
  #process: ChildProcess | undefined;
  #restarts = 0;
  #isStopping = false;

  private constructor(node: TestNode, name: string, command: string[], slice: Slice) {
    this.name = name;
    this.#node = node;
    this.#command = command;
    this.#slice = slice;
    this.#logPath = join(node.folder, `${name}.log`);
  }

  static async start(node: TestNode, name: string, command: string[], slice: Slice): Promise<NodeProgram> {
    const program = new NodeProgram(node, name, command, slice);
    await program.#spawn();
    return program;
  }

  get restarts(): number {
    return this.#restarts;
  }

  /** Polls until `isReady` says so; fails with the end of the log when it never does. */
  async until(isReady: () => Promise<boolean>, limitMs: number): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (Date.now() < deadline && this.#restarts < 3) {
      if (await isReady().catch(() => false)) return;
      await delay(50);
    }
    const log = await readFile(this.#logPath, 'utf8');
    throw new Error(`${this.name} is not ready:\n${log.slice(-LOG_TAIL_BYTES)}`);
  }

  /** To be called before the node is stopped: from now on an end is final. */
  leave(): void {
    this.#isStopping = true;
  }

  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) throw new Error(`${this.name} is not running`);
    // the child itself only entered the node and waits
    process.kill(await onlyChild(child.pid), signal);
    await once(child, 'exit');
  }

  async #spawn(): Promise<void> {
    const [program, ...args] = this.#node.inside(this.#command, this.#slice);
    const log = await open(this.#logPath, 'a');
    const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd], cwd: '/' });
    await log.close();
    this.#process = child;
    child.once('error', () => undefined);
    child.once('exit', () => void this.#onExit());
  }

  async #onExit(): Promise<void> {
    this.#process = undefined;
    do await delay(RESTART_DELAY_MS, undefined, { ref: false });
    while (!this.#isStopping && existsSync(heldBackFile(this.#node.folder, this.name)));
    if (this.#isStopping) return;
    this.#restarts += 1;
    await this.#spawn();
  }
}

/** While this file is there, a program that ended is not started again: for tests, which run in processes of their own. */
export function heldBackFile(nodeFolder: string, program: string): string {
  return join(nodeFolder, `${program}.held-back`);
}
