import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ControlPlaneAccess } from './control-plane.ts';
import { kubeconfig } from './stand-in/operator-process.ts';

const LIMIT_MS = 60_000;

/** kubectl as users have it, with a kubeconfig and a home of its own. */
export class Kubectl implements AsyncDisposable {
  readonly #binary: string;
  readonly #folder: string;

  private constructor(binary: string, folder: string) {
    this.#binary = binary;
    this.#folder = folder;
  }

  static async start(binary: string, access: ControlPlaneAccess): Promise<Kubectl> {
    const folder = await mkdtemp(join(tmpdir(), 'warmpool-kubectl-'));
    await writeFile(join(folder, 'config'), kubeconfig(access), { mode: 0o600 });
    return new Kubectl(binary, folder);
  }

  /** What it prints. Rejects, with what it has said, when it fails. */
  async run(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(this.#binary, args, {
      env: { PATH: process.env['PATH'], HOME: this.#folder, KUBECONFIG: join(this.#folder, 'config') },
      timeout: LIMIT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
