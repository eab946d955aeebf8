import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { Clock } from '../clock.ts';
import { MountError, MountUnavailable, MountUncertain } from './mount-error.ts';

const ANSWER_LIMIT_MS = 5_000;
const MAX_WAITING = 1_000;
/** A helper that lived shorter than this has probably died of its start. */
const STEADY_MS = 1_000;
const RESTART_BASE_MS = 100;
const RESTART_LIMIT_MS = 5_000;

interface Waiting {
  request: string;
  timer: NodeJS.Timeout;
  resolve: () => void;
  reject: (error: Error) => void;
}

export interface MounterDeps {
  clock: Clock;
  onProblem: (error: unknown) => void;
}

/**
 * The process that makes the mount system calls (native/mount-helper.c): started when it is first needed, started again when it
 * died, never asked the same thing twice by itself. A request that got no answer is {@link MountUncertain}.
 */
export class Mounter {
  readonly #deps: MounterDeps;
  readonly #command: readonly [string, ...string[]];
  readonly #waiting = new Map<string, Waiting>();
  #child: ChildProcess | undefined;
  #startedMs = 0;
  #quickDeaths = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #nextId = 1;
  #unread = '';
  #isClosed = false;

  constructor(deps: MounterDeps, command: readonly [string, ...string[]]) {
    this.#deps = deps;
    this.#command = command;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Says whether the mount helper can be started at all. */
  ping(): Promise<void> {
    return this.#ask('ping');
  }

  /** `target` shows `source`, read-only, in this mount namespace alone. */
  stage(source: string, target: string): Promise<void> {
    return this.#ask('stage', source, target);
  }

  /** An empty tmpfs in which no link is followed; `folder` is made in it. EEXIST if something is mounted there. */
  mountVolume(target: string, options: { sizeBytes: number; inodes: number; folder?: string }): Promise<void> {
    const { sizeBytes, inodes, folder = '-' } = options;
    return this.#ask('volume', target, String(sizeBytes), String(inodes), folder);
  }

  /**
   * `target` shows the erofs image `<folder>/<name>`, which nobody can write through it. ENODEV or ENOTBLK: this kernel cannot do that. The mount
   * table has `name` as the source.
   */
  mountImage(folder: string, name: string, target: string): Promise<void> {
    return this.#ask('image', folder, name, target);
  }

  /** Memory lets go of what was read of an image by way of `tree`. Begins when this returns, as the two below do: hints, that nobody waits for. */
  forget(tree: string): Promise<void> {
    return this.#ask('forget', tree);
  }

  /** Writes `list`: which bytes of the image were read by way of `tree` since, files above 1 MiB aside, and where its inodes and folders are. */
  listReads(image: string, tree: string, list: string): Promise<void> {
    return this.#ask('list', image, tree, list);
  }

  /** What the list says of the image is in memory soon. No fault where there is no such list. */
  readAhead(image: string, list: string): Promise<void> {
    return this.#ask('ahead', image, list);
  }

  /** `<volume>/<folder>` shows `source`, read-only. EXDEV if something is mounted there. */
  bind(source: string, volume: string, folder: string): Promise<void> {
    return this.#ask('bind', source, volume, folder);
  }

  /** The topmost mount at the path. */
  unmount(path: string): Promise<void> {
    return this.#ask('unmount', path);
  }

  close(): void {
    this.#isClosed = true;
    this.#child?.stdin?.end();
    this.#child?.kill('SIGTERM');
  }

  #ask(...words: string[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const request = words.join(' ');
    const child = this.#child ?? this.#start();
    if (child?.stdin == null) return Promise.reject(new MountUnavailable('the mount helper keeps dying; see the log'));
    if (this.#waiting.size >= MAX_WAITING) {
      return Promise.reject(new MountUnavailable(`${MAX_WAITING} requests already wait for the mount helper`));
    }
    const id = String(this.#nextId++);
    const timer = setTimeout(() => {
      // whatever it hangs in, nothing behind it would ever be done
      this.#deps.onProblem(new Error(`the mount helper gave no answer within ${ANSWER_LIMIT_MS} ms to: ${request}`));
      child.kill('SIGKILL');
    }, ANSWER_LIMIT_MS);
    this.#waiting.set(id, { request, timer, resolve, reject });
    child.stdin.write(`${id} ${words.map(escape).join(' ')}\n`);
    return promise;
  }

  #start(): ChildProcess | undefined {
    const nowMs = this.#deps.clock.monotonic();
    if (this.#isClosed || nowMs < this.#notBeforeMs) return undefined;
    const [file, ...args] = this.#command;
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#startedMs = nowMs;
    this.#unread = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    // a write to one that has just died: its exit says everything
    child.stdin.on('error', () => undefined);
    child.once('error', (error) => this.#onEnd(child, error.message));
    child.once('exit', (code, signal) => this.#onEnd(child, `it ended with ${signal ?? `code ${code}`}`));
    return child;
  }

  #read(text: string): void {
    const lines = (this.#unread + text).split('\n');
    this.#unread = lines.pop() ?? '';
    for (const line of lines) {
      const [id = '', result, ...step] = line.split(' ');
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) continue;
      this.#waiting.delete(id);
      clearTimeout(waiting.timer);
      if (result === 'ok') waiting.resolve();
      else waiting.reject(new MountError(Number(result), step.join(' '), waiting.request));
    }
  }

  #onEnd(child: ChildProcess, why: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    const nowMs = this.#deps.clock.monotonic();
    this.#quickDeaths = nowMs - this.#startedMs < STEADY_MS ? this.#quickDeaths + 1 : 0;
    // the first death costs nobody a wait
    const delayMs = Math.min(RESTART_LIMIT_MS, RESTART_BASE_MS * 2 ** (this.#quickDeaths - 1));
    if (this.#quickDeaths > 1) this.#notBeforeMs = nowMs + delayMs * (0.5 + Math.random() / 2);
    const abandoned = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { request, timer, reject } of abandoned) {
      clearTimeout(timer);
      reject(new MountUncertain(`the mount helper did not answer (${why}): ${request}`));
    }
    if (!this.#isClosed) this.#deps.onProblem(new Error(`the mount helper ${this.#command[0]} is gone: ${why}`));
  }
}

/** One word of printable ASCII for each argument, whatever bytes it has. */
function escape(word: string): string {
  return /^[!-$&-~]+$/.test(word)
    ? word
    : [...Buffer.from(word)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}
