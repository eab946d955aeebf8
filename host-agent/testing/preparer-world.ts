import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Preparer } from '../prepare/preparer.ts';
import type { PreparerWish } from '../prepare/preparer-wish.ts';

/** A preparer over a cache of one entry. */
export class PreparerWorld {
  readonly folder = mkdtempSync(join(tmpdir(), 'warmpool-preparer-'));
  readonly entryPath = join(this.folder, 'entry');
  readonly tree = join(this.entryPath, 'tree');
  readonly problems: unknown[] = [];
  readonly holders = new Set<string>();
  /** What preparing added to the entry, and how much of it there is room for. */
  bytes = 0;
  limitBytes = 1_000_000;
  #preparer: Preparer | undefined;

  constructor() {
    mkdirSync(this.tree, { recursive: true });
  }

  open(preparers: readonly PreparerWish[]): Preparer {
    let next = 0;
    this.#preparer = new Preparer(
      {
        cache: {
          hold: (_key, holder) => {
            this.holders.add(holder);
            return this.entryPath;
          },
          release: (holder) => void this.holders.delete(holder),
          grow: (_key, more) => {
            if (this.bytes + more > this.limitBytes) return false;
            this.bytes += more;
            return true;
          },
        },
        newTmpPath: () => join(this.folder, `tmp-${next++}`),
        onProblem: (error) => this.problems.push(error),
      },
      { preparers, idleMs: 1 },
    );
    return this.#preparer;
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.holders.size === 0;
  }

  /** Of the entry: `interpreter/file` and its content. */
  get prepared(): Record<string, string> {
    const folder = join(this.entryPath, 'prepared');
    if (!existsSync(folder)) return {};
    const files = readdirSync(folder).flatMap((tag) => readdirSync(join(folder, tag)).map((file) => `${tag}/${file}`));
    return Object.fromEntries(files.map((file) => [file, readFileSync(join(folder, file), 'latin1')]));
  }

  close(): void {
    this.#preparer?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
