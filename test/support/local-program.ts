import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import type { WarmPool } from '@warmpool/operator/core/resources.ts';
import { processesOf, type RunProcess } from './run-processes.ts';

const MAIN = fileURLToPath(new URL('../../local/main.ts', import.meta.url));
const START_LIMIT_MS = 30_000;
const EXIT_LIMIT_MS = 60_000;

/** `npm start` as a process of its own, in a temporary folder of its own. */
export class LocalProgram {
  stdout = '';
  stderr = '';
  readonly tmpDir: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number | null>;
  #knownRunDir: string | undefined;

  private constructor(child: ChildProcess, tmpDir: string) {
    this.#child = child;
    this.tmpDir = tmpDir;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#exited = new Promise((resolve) => void child.once('close', (code) => resolve(code)));
  }

  static start(args: string[], env: Record<string, string> = {}): LocalProgram {
    return LocalProgram.#start(args, () => env);
  }

  /** With nothing kept from other runs, and a store of its own. */
  static startWithOwnCache(args: string[]): LocalProgram {
    return LocalProgram.#start(args, (tmpDir) => ({ XDG_CACHE_HOME: path.join(tmpDir, 'cache') }));
  }

  static #start(args: string[], envIn: (tmpDir: string) => Record<string, string>): LocalProgram {
    const tmpDir = realpathSync(mkdtempSync(path.join(tmpdir(), 'lp-')));
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, TMPDIR: tmpDir, ...envIn(tmpDir) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new LocalProgram(child, tmpDir);
  }

  /** The status that it exits with. */
  async exit(limitMs = EXIT_LIMIT_MS): Promise<number | null> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`it did not end within ${limitMs} ms: ${this.stdout}${this.stderr}`)),
      limitMs,
    );
    try {
      return await Promise.race([this.#exited, tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves with the address of the claim API when it serves and its pools are full. */
  async url(): Promise<string> {
    return vi.waitFor(
      () => {
        const url = /The claim API is at (\S+),/.exec(this.stdout)?.[1];
        if (url === undefined) throw new Error(`it does not serve: ${this.stdout}${this.stderr}`);
        this.runDir();
        return url;
      },
      { timeout: START_LIMIT_MS, interval: 20 },
    );
  }

  /** The folder of the run, while there is one: by the pid in it. */
  runDir(): string | undefined {
    const found = [this.tmpDir, '/dev/shm']
      .filter((parent) => existsSync(parent))
      .flatMap((parent) => readdirSync(parent).map((name) => path.join(parent, name)))
      .find((folder) => path.basename(folder).startsWith('warmpool-') && supervisorOf(folder) === this.#child.pid);
    this.#knownRunDir = found ?? this.#knownRunDir;
    return found;
  }

  /** What is left of the run, in words; empty when nothing is. */
  leftovers(): string[] {
    const folder = this.runDir();
    const processes = this.processes().map(({ pid, command }) => `process ${pid}: ${command}`);
    return folder === undefined ? processes : [...processes, `folder ${folder}`];
  }

  processes(): RunProcess[] {
    const found = [this.tmpDir, this.#knownRunDir ?? this.tmpDir].flatMap(processesOf);
    return [...new Map(found.map((each) => [each.pid, each])).values()];
  }

  /** Puts these files, as an archive, into the store of a program with a cache of its own. */
  store(files: Record<string, string>): { key: string; digest: string; format: 'tar' } {
    const archive = tarOf(Object.entries(files).map(([name, body]) => ({ name, body })));
    const digest = `sha256:${createHash('sha256').update(archive).digest('hex')}`;
    const folder = path.join(this.tmpDir, 'cache', 'warmpool', 'store');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, `${digest.slice(7)}.tar`), archive);
    return { key: `${digest.slice(7)}.tar`, digest, format: 'tar' };
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const closed = once(this.#child, 'close');
      this.#child.kill('SIGKILL');
      await closed;
    }
    await vi.waitFor(() => {
      if (this.processes().length > 0) throw new Error(this.leftovers().join('\n'));
    }, 10_000);
    rmSync(this.tmpDir, { recursive: true, force: true });
  }
}

/** A folder of pool files; JSON is YAML too. */
export function poolFolder(pools: WarmPool[]): { folder: string; remove: () => void } {
  const folder = mkdtempSync(path.join(tmpdir(), 'pool-files-'));
  mkdirSync(folder, { recursive: true });
  for (const pool of pools) writeFileSync(path.join(folder, `${pool.metadata.name}.yaml`), JSON.stringify(pool));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

function supervisorOf(runDir: string): number | undefined {
  try {
    return Number.parseInt(readFileSync(path.join(runDir, 'supervisor.pid'), 'utf8'), 10);
  } catch {
    return undefined;
  }
}
