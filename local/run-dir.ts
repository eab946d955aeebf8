import { access, constants, lstat, mkdir, mkdtemp, readFile, readdir, statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LocalError, isErrno } from './errors.ts';
import { removeFolder } from './remove-folder.ts';

const PREFIX = 'warmpool-';
const PID_FILE = 'supervisor.pid';
/** `sun_path` has 108 bytes on Linux and 104 elsewhere, the closing NUL included. */
const SOCKET_PATH_LIMIT_BYTES = process.platform === 'linux' ? 107 : 103;

/** The folder of one run: everything that must not outlive it. */
export interface RunDir {
  path: string;
  /** Each pod has a folder named after its uid in here. */
  podsDir: string;
  /** Folders of dead runs that were found and removed. */
  removedLeftovers: string[];
}

/** Memory that looks like a file system, where Linux has it. */
const MEMORY_FOLDER = '/dev/shm';
const MEMORY_NEEDED_BYTES = 1024 ** 3;
const CACHE_LIMIT_BYTES = 2 * 1024 ** 3;

/**
 * Where runs live, and how many bytes of code they may cache there. In memory if there is plenty: on ext4, making a file soon after
 * many were deleted costs a millisecond, and every pod that ends deletes some.
 */
export async function chooseRunParent(
  tmpDir: string,
  memoryFolder = MEMORY_FOLDER,
): Promise<{ parent: string; cacheBytes: number }> {
  const freeBytes = await freeBytesOf(memoryFolder);
  if (freeBytes < MEMORY_NEEDED_BYTES) return { parent: tmpDir, cacheBytes: CACHE_LIMIT_BYTES };
  return { parent: memoryFolder, cacheBytes: Math.min(CACHE_LIMIT_BYTES, Math.floor(freeBytes / 4)) };
}

async function freeBytesOf(folder: string): Promise<number> {
  try {
    await access(folder, constants.W_OK);
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return 0; // not there, or not ours to write
  }
}

/** A fresh folder under `parent` that only this user can enter. Takes away what runs that died have left there. */
export async function createRunDir(parent: string): Promise<RunDir> {
  assertSocketPathFits(path.join(parent, `${PREFIX}XXXXXX`, 'pods', '0'.repeat(36), 'agent.sock'));
  const removedLeftovers = await removeLeftovers(parent);
  const runDir = await mkdtemp(path.join(parent, PREFIX));
  await writeFile(path.join(runDir, PID_FILE), `${process.pid} ${(await startTimeOf(process.pid)) ?? ''}\n`);
  const podsDir = path.join(runDir, 'pods');
  await mkdir(podsDir, { mode: 0o700 });
  return { path: runDir, podsDir, removedLeftovers };
}

/** A unix socket cannot be bound to a longer path; the kernel's own message (`EINVAL`) names neither path nor limit. */
export function assertSocketPathFits(socketPath: string): void {
  const lengthBytes = Buffer.byteLength(socketPath);
  if (lengthBytes <= SOCKET_PATH_LIMIT_BYTES) return;
  throw new LocalError(
    'SocketPathTooLong',
    `The socket path ${socketPath} has ${lengthBytes} bytes; the system allows ${SOCKET_PATH_LIMIT_BYTES}. Set TMPDIR to a shorter folder, for example /tmp.`,
  );
}

async function removeLeftovers(parent: string): Promise<string[]> {
  const removed: string[] = [];
  for (const name of await readdir(parent)) {
    if (!/^warmpool-[A-Za-z0-9]{6}$/.test(name)) continue;
    const folder = path.join(parent, name);
    if (!(await isLeftover(folder))) continue;
    await removeFolder(folder);
    removed.push(folder);
  }
  return removed;
}

/** A folder without a readable pid file is left alone: it may be a run that is just starting, or nothing of ours. */
async function isLeftover(folder: string): Promise<boolean> {
  try {
    const status = await lstat(folder);
    if (!status.isDirectory() || status.uid !== process.getuid?.()) return false;
    const [pid = '', startTime = ''] = (await readFile(path.join(folder, PID_FILE), 'utf8')).trim().split(' ');
    if (!/^[1-9]\d*$/.test(pid)) return false;
    if (!isAlive(Number(pid))) return true;
    // a pid is used again; the time its process started is not
    return startTime !== '' && startTime !== (await startTimeOf(Number(pid)));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EACCES')) return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}

/** Clock ticks since boot; undefined where there is no /proc or no such process. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // the command's name is in parentheses and may hold spaces; field 22 is the 20th after it
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
