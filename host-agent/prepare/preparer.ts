import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { POD_PREPARED_FOLDER } from '@warmpool/protocol/names.ts';
import type { CodeCache } from '../cache/code-cache.ts';
import { askPreparer } from './ask-preparer.ts';
import type { PreparedForm, PreparerRun } from './prepared-form.ts';
import type { PreparerWish } from './preparer-wish.ts';
import { runPreparer } from './run-preparer.ts';

/** No load for so long: a second one often follows the first at once. */
const IDLE_MS = 500;
const MAX_WAITING = 1_000;

export interface PreparerDeps {
  cache: Pick<CodeCache, 'hold' | 'release' | 'grow'>;
  newTmpPath: () => string;
  /** All that there is to make for an entry was made, or cannot be. */
  onPrepared?: (entryPath: string) => Promise<void>;
  onProblem: (error: unknown) => void;
}

export interface PreparerOptions {
  preparers: readonly PreparerWish[];
  /** Of a process that reads the code and is started here, where it is not this one's. */
  uid?: number;
  idleMs?: number;
}

/**
 * Makes the forms of an entry that load faster (docs/decisions/0017), one entry after the other, while no load is under way: one
 * that arrives meanwhile stops the process until it has ended.
 */
export class Preparer {
  readonly #deps: PreparerDeps;
  readonly #options: PreparerOptions;
  readonly #waiting = new Set<string>();
  #isWorking = false;
  #isClosed = false;
  #loadsInFlight = 0;
  #quietSinceMs = performance.now();
  #run: PreparerRun | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: PreparerDeps, options: PreparerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  add(key: string): void {
    if (this.#isClosed || this.#waiting.size >= MAX_WAITING) return;
    this.#waiting.add(key);
    this.#workWhenQuiet();
  }

  setLoadsInFlight(count: number): void {
    const wasBusy = this.#loadsInFlight > 0;
    this.#loadsInFlight = count;
    if (count > 0 && !wasBusy) this.#run?.pause();
    if (count > 0 || !wasBusy) return;
    this.#quietSinceMs = performance.now();
    this.#run?.resume();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#run?.end();
  }

  #workWhenQuiet(): void {
    if (this.#isWorking || this.#isClosed || this.#waiting.size === 0) return;
    const { idleMs = IDLE_MS } = this.#options;
    const waitMs = this.#loadsInFlight > 0 ? idleMs : idleMs - (performance.now() - this.#quietSinceMs);
    clearTimeout(this.#timer);
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#workWhenQuiet(), waitMs);
      this.#timer.unref();
      return;
    }
    const [key] = this.#waiting;
    if (key === undefined) return;
    this.#waiting.delete(key);
    this.#isWorking = true;
    void this.#prepare(key).finally(() => {
      this.#isWorking = false;
      this.#workWhenQuiet();
    });
  }

  async #prepare(key: string): Promise<void> {
    const { cache, onPrepared, onProblem } = this.#deps;
    // no pod has such a uid
    const holder = `preparation of ${key}`;
    const entryPath = cache.hold(key, holder);
    if (entryPath === undefined) return;
    try {
      for (const preparer of this.#options.preparers) {
        if (this.#isClosed) return;
        // one that fails does not keep the others from it
        await this.#make(key, entryPath, preparer).catch((error: unknown) => this.#isClosed || onProblem(error));
      }
      await onPrepared?.(entryPath).catch((error: unknown) => this.#isClosed || onProblem(error));
    } finally {
      this.#run = undefined;
      cache.release(holder);
    }
  }

  async #make(key: string, entryPath: string, preparer: PreparerWish): Promise<void> {
    const tree = join(entryPath, 'tree');
    this.#run =
      'socketPath' in preparer
        ? askPreparer(preparer.socketPath, tree)
        : runPreparer(preparer.command, tree, this.#options.uid);
    if (this.#loadsInFlight > 0) this.#run.pause();
    const form = await this.#run.form;
    if (form !== undefined) await this.#put(key, entryPath, form);
  }

  /** Complete or not at all, as everything in an entry. */
  async #put(key: string, entryPath: string, { folder, file, content }: PreparedForm): Promise<void> {
    if (!this.#deps.cache.grow(key, content.length)) return;
    const tmpPath = this.#deps.newTmpPath();
    const target = join(entryPath, POD_PREPARED_FOLDER, folder);
    await mkdir(tmpPath, { mode: 0o755 });
    try {
      await writeFile(join(tmpPath, file), content, { mode: 0o444 });
      await mkdir(dirname(target), { recursive: true, mode: 0o755 });
      await rename(tmpPath, target);
    } catch (error) {
      this.#deps.cache.grow(key, -content.length);
      await rm(tmpPath, { recursive: true, force: true });
      throw error;
    }
  }
}
