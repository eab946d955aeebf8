import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

/** Linux; not among Node's constants. */
const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_WRONLY, O_RDONLY, O_CREAT, O_EXCL } = constants;
const MAX_WORDS_BYTES = 1024;

/**
 * The folder that one sidecar shares with this program. The sidecar can put anything in it, so all is reached by handles that follow no
 * link: a link to a socket or a file of the node is refused, never used. Synchronous: it is memory, and a claim waits.
 */
export class SidecarFolder {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Undefined while it is not there. */
  static open(path: string): SidecarFolder | undefined {
    const fd = openIfThere(path, O_PATH | O_DIRECTORY);
    return fd === undefined ? undefined : new SidecarFolder(fd);
  }

  /** It appears whole. Every user of the container may read it: it holds nothing secret. */
  write(name: string, text: string): void {
    const part = this.#at(`.${name}.${randomBytes(8).toString('hex')}`);
    try {
      const fd = openSync(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
      try {
        writeFileSync(fd, text);
        // whatever the umask of this program
        fchmodSync(fd, 0o644);
      } finally {
        closeSync(fd);
      }
      renameSync(part, this.#at(name));
    } catch (error) {
      rmSync(part, { force: true });
      throw error;
    }
  }

  remove(name: string): void {
    rmSync(this.#at(name), { force: true, recursive: true });
  }

  /** `use` gets a path that can be nothing else by then. Undefined: there is no socket of that name yet. */
  async withSocket<T>(name: string, use: (path: string) => Promise<T>): Promise<T | undefined> {
    const fd = openIfThere(this.#at(name), O_PATH);
    if (fd === undefined) return undefined;
    try {
      if (!fstatSync(fd).isSocket()) throw new Error(`made something at ${name} that is not a socket`);
      return await use(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  }

  /** False while nobody reads from the pipe. */
  signalPipe(name: string): boolean {
    const fd = openIfThere(this.#at(name), O_WRONLY | O_NONBLOCK);
    if (fd === undefined) return false;
    try {
      if (!fstatSync(fd).isFIFO()) throw new Error(`made something at ${name} that is not a named pipe`);
      writeSync(fd, 'reload\n');
      return true;
    } finally {
      closeSync(fd);
    }
  }

  /** What is in a file, as far as it is of interest; undefined while it is not there. */
  words(name: string): string | undefined {
    const fd = openIfThere(this.#at(name), O_RDONLY | O_NONBLOCK);
    if (fd === undefined) return undefined;
    try {
      if (!fstatSync(fd).isFile()) throw new Error(`made something at ${name} that is not a file`);
      const buffer = Buffer.alloc(MAX_WORDS_BYTES);
      return buffer.toString('utf8', 0, readSync(fd, buffer, 0, MAX_WORDS_BYTES, 0));
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }

  #at(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }
}

function openIfThere(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags | O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // ENXIO: a pipe that nobody reads
    if (code === 'ENOENT' || code === 'ENXIO') return undefined;
    throw error;
  }
}
