import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, promisify } from 'node:util';
import { isHostError } from '@warmpool/host-agent/errors.ts';
import { readTree, unpackHere } from '@warmpool/host-agent/testing/unpacking.ts';
import type { ArchiveCase } from './archive-cases.ts';

const run = promisify(execFile);
/** No case has more than some 100 KiB of contents. */
const LIMITS = { maxArchiveBytes: 2 ** 24, maxUnpackedBytes: 2 ** 24, maxEntries: 2_000 };
const SLOW_MS = 20_000;
/** libarchive's, which shares nothing with ours. */
const SECOND_READER = 'bsdtar';

export function hasSecondReader(): boolean {
  return spawnSync(SECOND_READER, ['--version']).status === 0;
}

/**
 * What is wrong with how the case was unpacked, if anything: it may be refused with a sentence about the archive, or become the tree that
 * the second reader makes of it, where that one accepts it too. Nothing may be left beside it, and `scratch`, which is empty, stays so.
 */
export async function judge(archive: ArchiveCase, scratch: string, withSecond: boolean): Promise<string | undefined> {
  const { format, bytes, chunkBytes, tailBytes } = archive;
  const startedMs = performance.now();
  const isRanged = format === 'zip over ranges';
  const { error, tree, strays } = await unpackHere(bytes, isRanged ? 'zip' : format, {
    ...{ chunkBytes, limits: LIMITS, within: scratch },
    ...(isRanged && { tailBytes }),
  });
  const tookMs = performance.now() - startedMs;
  const outside = readdirSync(scratch);
  if (outside.length > 0) return `left ${outside.join(', ')} outside of the tree`;
  if (strays.length > 0) return `left ${strays.join(', ')} beside the tree`;
  if (tookMs > SLOW_MS) return `took ${Math.round(tookMs)} ms`;
  if (error !== undefined) return isRefusal(error) ? undefined : `failed with ${inspect(error)}`;
  if (!withSecond) return undefined;
  const second = await secondTree(bytes, scratch);
  return second === undefined ? undefined : difference(tree, second);
}

/** In words that say what is wrong with the archive, without the bytes that made it so. */
function isRefusal(error: unknown): boolean {
  const isAboutArchive = isHostError(error, 'BadArchive') || isHostError(error, 'ArchiveTooLarge');
  // eslint-disable-next-line no-control-regex
  return isAboutArchive && /^the archive(\W|'s entry) ?.{5,}/.test(error.message) && !/[\0-\x1f]/.test(error.message);
}

/** Undefined where it refuses the archive, or has something to say about it. */
async function secondTree(bytes: Buffer, scratch: string): Promise<Record<string, string> | undefined> {
  const [file, folder] = [join(scratch, 'archive'), join(scratch, 'second')];
  writeFileSync(file, bytes);
  mkdirSync(folder);
  try {
    const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' };
    const { stderr } = await run(SECOND_READER, ['-xf', file, '-C', folder], { timeout: SLOW_MS, env });
    return stderr === '' ? readTree(folder) : undefined;
  } catch {
    return undefined;
  } finally {
    rmSync(file, { force: true });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of names, kinds, contents and targets; the modes of the two differ on purpose. */
function difference(ours: Record<string, string>, theirs: Record<string, string>): string | undefined {
  for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
    const [mine, other] = [ours[name], theirs[name]].map((entry) => entry?.replace(/^exec:/, 'file:'));
    if (mine !== other)
      return `differs from the second reader's at ${JSON.stringify(name)}: ${shown(mine)} and ${shown(other)}`;
  }
  return undefined;
}

function shown(entry: string | undefined): string {
  return JSON.stringify(entry?.slice(0, 60) ?? 'nothing');
}
