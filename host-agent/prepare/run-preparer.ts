import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { constants, setPriority } from 'node:os';

const LIMIT_MS = 120_000;
const MAX_OUTPUT_BYTES = 128 * 1024 * 1024;
const MAX_HEAD_BYTES = 512;
/** `<interpreter>/<file>`, both plain names. */
const PLACE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/;

export interface PreparedForm {
  folder: string;
  file: string;
  content: Buffer;
}

export interface PreparerRun {
  child: ChildProcess;
  /** Undefined when the program found nothing to prepare. */
  form: Promise<PreparedForm | undefined>;
}

/**
 * One run of a preparer on one tree. What it reads was written by strangers, so the process is nobody's: no environment, no place to
 * write but its output, the lowest priority, bounded in time and bytes; and as the user `uid`, where this program may choose.
 */
export function runPreparer(
  [program, ...words]: readonly [string, ...string[]],
  treePath: string,
  uid?: number,
): PreparerRun {
  const args = words.map((word) => word.replaceAll('{tree}', () => treePath));
  const child = spawn(program, args, {
    cwd: '/',
    env: {},
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  if (child.pid !== undefined) lowerPriority(child.pid);
  return { child, form: readForm(child) };
}

async function readForm(child: ChildProcess): Promise<PreparedForm | undefined> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  child.stdout?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_OUTPUT_BYTES) child.kill('SIGKILL');
    else chunks.push(chunk);
  });
  child.once('error', reject);
  child.once('close', (code, signal) =>
    code === 0
      ? resolve()
      : reject(new Error(`the preparer ${child.spawnfile} ended with ${signal ?? `code ${code}`}`)),
  );
  try {
    await ended;
  } finally {
    clearTimeout(timer);
  }
  return bytes === 0 ? undefined : parseForm(Buffer.concat(chunks));
}

function parseForm(output: Buffer): PreparedForm {
  const headEnd = output.subarray(0, MAX_HEAD_BYTES).indexOf('\n');
  const [, folder, file] = PLACE.exec(output.toString('latin1', 0, Math.max(0, headEnd))) ?? [];
  if (folder === undefined || file === undefined) throw new Error('the preparer did not say where its output belongs');
  return { folder, file, content: output.subarray(headEnd + 1) };
}

function lowerPriority(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW);
  } catch {
    // it has ended already
  }
}
