import type { CodeSources } from '../blob/blob-sources.ts';
import { cacheKey, type WantedCode } from '../core/cache-key.ts';
import type { Download } from '../blob/downloader.ts';
import type { FetchPriority } from '../blob/fetch-budget.ts';
import type { Clock } from '../clock.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import type { Unpacker } from '../unpack/unpacker.ts';
import type { CacheFolder } from './cache-folder.ts';
import type { Reservation } from './cache-room.ts';

/** A transfer that broke off in a way that cannot be resumed, or whose mirror sent wrong bytes, is begun again this often. */
const MAX_TRANSFERS = 2;

export interface FetchTimings {
  fetchMs: number;
  /** From the last byte's arrival to the tree being in its place; what was unpacked while bytes arrived counts as fetching. */
  unpackMs: number;
}

/** What is known of a fetch while it runs. */
export interface FetchProgress {
  priority: FetchPriority;
  isStarted: boolean;
  receivedBytes: number;
  sizeBytes?: number;
}

export interface CodeFetchDeps {
  folder: CacheFolder;
  sources: CodeSources;
  unpacker: Unpacker;
  clock: Clock;
  limits: UnpackLimits;
}

export interface FetchJob {
  code: WantedCode;
  progress: FetchProgress;
  room: Reservation;
  signal: AbortSignal;
}

export interface FetchedTree {
  /** Holds `tree/` and what belongs to it; the caller's from now on. */
  tmpPath: string;
  diskBytes: number;
  receivedMs: number;
}

/** From the store to a verified tree in a folder that nobody knows yet. */
export async function fetchTree(deps: CodeFetchDeps, job: FetchJob): Promise<FetchedTree> {
  let originOnly = false;
  for (let transfer = 1; ; transfer++) {
    let download: Download | undefined;
    try {
      job.progress.receivedBytes = 0;
      download = await open(deps, job, originOnly);
      const tree = await unpack(deps, job, download);
      download.verified?.();
      return tree;
    } catch (error) {
      const isMirrorsFault = download?.blame !== undefined && isAboutBytes(error);
      if (isMirrorsFault) download?.blame?.();
      const isWorthIt = isMirrorsFault || (download !== undefined && isHostError(error, 'StoreUnreachable'));
      if (!isWorthIt || transfer >= MAX_TRANSFERS || job.signal.aborted) throw error;
      originOnly = download?.blame !== undefined;
      job.room.clear();
    } finally {
      download?.close();
    }
  }
}

/** The origin's bytes may be better than a mirror's. */
function isAboutBytes(error: unknown): boolean {
  return ['DigestMismatch', 'BadArchive', 'ArchiveTooLarge'].some((code) => isHostError(error) && error.code === code);
}

async function open(
  { sources, unpacker, limits }: CodeFetchDeps,
  job: FetchJob,
  originOnly: boolean,
): Promise<Download> {
  const { code, progress, signal } = job;
  unpacker.warmUp();
  const download = await sources.open(code, {
    signal,
    originOnly,
    priority: progress.priority,
    wantsTail: code.format === 'zip',
    onBytes: (bytes) => (progress.receivedBytes += bytes),
  });
  const { sizeBytes } = download;
  if (sizeBytes !== undefined) progress.sizeBytes = sizeBytes;
  if (sizeBytes === undefined || sizeBytes <= limits.maxArchiveBytes) return download;
  download.close();
  throw hostError.archiveTooLarge(`is ${sizeBytes} bytes; at most ${limits.maxArchiveBytes} are allowed`);
}

async function unpack(deps: CodeFetchDeps, { code, room, signal }: FetchJob, download: Download): Promise<FetchedTree> {
  const { clock, folder, unpacker, limits } = deps;
  const tmpPath = folder.newTmpPath();
  let receivedMs = clock.monotonic();
  const { format, fileName = '', digest } = code;
  const imageName = folder.imageName(cacheKey(code));
  const job = { folder: tmpPath, format, fileName, digest, limits, ...(imageName !== undefined && { imageName }) };
  const tree = await unpacker.unpack(job, download, signal, {
    onReceived: () => (receivedMs = clock.monotonic()),
    onGrown: (diskBytes) => room.growTo(diskBytes),
  });
  return { tmpPath, diskBytes: tree.diskBytes, receivedMs };
}
