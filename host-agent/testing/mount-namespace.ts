import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Mount } from '../core/mount-table.ts';
import { mountsWithin, parseMountTable } from '../core/mount-table.ts';

const TMPFS_MAGIC = 0x01021994;
const BUILD = fileURLToPath(new URL('../native/build.sh', import.meta.url));

/** What this machine lacks for tests with real mounts, or undefined. */
export function missingForMounts(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) return 'no permission to make a mount namespace';
  if (spawnSync('cc', ['--version']).status !== 0) return 'no C compiler (cc)';
  return undefined;
}

/** What this machine lacks for tests with mounted erofs images, or undefined. */
export function missingForImages(): string | undefined {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 12)) return `Linux 6.12 (this is ${release()})`;
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\terofs\n')) return 'a kernel with erofs';
  if (statfsSync(tmpdir()).type === TMPFS_MAGIC) return `a disk: ${tmpdir()} is in memory`;
  return missingForMounts();
}

export function buildMountHelper(path: string): string {
  execFileSync(BUILD, [path], { stdio: ['ignore', 'ignore', 'inherit'] });
  return path;
}

/**
 * The mounts of a pretended node: whatever is mounted in it is gone with it, also when the test is killed. Folders named at its start
 * are shared with the namespaces of host-agent and pods, as a kubelet's folder is.
 */
export class MountNamespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async start(sharedFolders: string[]): Promise<MountNamespace> {
    for (const folder of sharedFolders) mkdirSync(folder, { recursive: true });
    const script =
      'for f; do mount --bind "$f" "$f" && mount --make-shared "$f" || exit 1; done; echo ready; exec cat >/dev/null';
    return MountNamespace.#hold([
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      'sh',
      ...sharedFolders,
    ]);
  }

  /** Another one in it that receives what is mounted in the shared folders, as a container's does with `HostToContainer`. */
  async receiving(): Promise<MountNamespace> {
    const unshare = ['unshare', '--mount', '--propagation', 'slave', 'sh', '-c', 'echo ready; exec cat >/dev/null'];
    return MountNamespace.#hold([...this.enter, ...unshare]);
  }

  static async #hold(command: string[]): Promise<MountNamespace> {
    const [file = '', ...args] = command;
    // its end of stdin is the test's end
    const holder = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await Promise.race([
      once(holder.stdout, 'data'),
      once(holder, 'exit').then(() => Promise.reject(new Error('the mount namespace could not be made'))),
    ]);
    return new MountNamespace(holder);
  }

  /** A command that runs its arguments here. */
  get enter(): string[] {
    return ['nsenter', '--target', String(this.#holder.pid), '--mount', '--'];
  }

  /** As a container with mount propagation `Bidirectional`: what it mounts elsewhere is its own. */
  get enterAsHostAgent(): string[] {
    return [...this.enter, 'unshare', '--mount', '--propagation', 'unchanged', '--'];
  }

  run(command: string, ...args: string[]): string {
    const [file = '', ...rest] = [...this.enter, command, ...args];
    return execFileSync(file, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** The same path, for somebody outside. */
  inside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  mountsWithin(path: string): Mount[] {
    const table = parseMountTable(readFileSync(`/proc/${this.#holder.pid}/mountinfo`, 'utf8'));
    return mountsWithin(table, path);
  }

  async close(): Promise<void> {
    const exited = once(this.#holder, 'exit');
    this.#holder.stdin?.end();
    await exited;
  }
}
