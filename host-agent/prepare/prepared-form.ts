import type { Readable } from 'node:stream';

const LIMIT_MS = 120_000;
const MAX_OUTPUT_BYTES = 128 * 1024 * 1024;
const MAX_HEAD_BYTES = 512;
/** `<interpreter>/<file>`, both plain names. */
const PLACE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/;

/** A faster form of a tree, and where it belongs. */
export interface PreparedForm {
  folder: string;
  file: string;
  content: Buffer;
}

/** One run of a preparer on one tree. What it reads was written by strangers. */
export interface PreparerRun {
  /** While a load is under way it stands still. */
  pause(): void;
  resume(): void;
  end(): void;
  /** Undefined when there was nothing to prepare. */
  form: Promise<PreparedForm | undefined>;
}

/** Gathers a preparer's output, bounded in time and bytes: `end` is called when it is too late or too much, and `ended` then rejects. */
export async function gather(output: Readable | null, ended: Promise<void>, end: () => void): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(end, LIMIT_MS);
  output?.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_OUTPUT_BYTES) end();
    else chunks.push(chunk);
  });
  try {
    await ended;
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
}

/** A line with the place of the file, then the file. */
export function parseForm(output: Buffer): PreparedForm | undefined {
  if (output.length === 0) return undefined;
  const headEnd = output.subarray(0, MAX_HEAD_BYTES).indexOf('\n');
  const [, folder, file] = PLACE.exec(output.toString('latin1', 0, Math.max(0, headEnd))) ?? [];
  if (folder === undefined || file === undefined) throw new Error('the preparer did not say where its output belongs');
  return { folder, file, content: output.subarray(headEnd + 1) };
}
