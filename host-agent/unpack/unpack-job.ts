import { closeSync, mkdirSync, openSync, unlinkSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { Entry } from 'yauzl';
import type { CodeFormat } from '@warmpool/protocol/fields.ts';
import { releaseChunk } from '../core/release.ts';
import { TarReader } from '../core/tar-reader.ts';
import type { UnpackLimits } from '../core/unpack-limits.ts';
import { hostError, isHostError } from '../errors.ts';
import { removeTree } from './remove-tree.ts';
import { ByteReader } from './byte-reader.ts';
import { HashedSource } from './chunk-source.ts';
import type { ChunkSource } from './chunk-source.ts';
import { decompress } from './decompress.ts';
import { FileChunks } from './file-chunks.ts';
import { ImageWriter } from './image-writer.ts';
import { onDisk, writeWhole } from './on-disk.ts';
import type { TreeBuilder, UnpackedTree } from './tree-builder.ts';
import { TreeOrImage } from './tree-or-image.ts';
import { TreeWriter } from './tree-writer.ts';
import { unzip } from './unzip.ts';
import type { ZipTail } from './zip-directory.ts';
import { bytesOfTail, readZipDirectory, TailTooShort } from './zip-directory.ts';

export interface UnpackJob {
  /** Made by the job; holds `tree/` afterwards, or is gone when the job failed. */
  folder: string;
  format: CodeFormat;
  /** For format `file`. */
  fileName: string;
  digest: string;
  limits: UnpackLimits;
  /** Given, a tree of many files becomes an erofs image of this name beside `tree/`, which stays empty. */
  imageName?: string;
}

/**
 * Hashes, decompresses and writes in one pass over the incoming bytes. The tree counts only if the digest is right: until then it is
 * in a folder that nobody else knows.
 */
export async function runUnpackJob(
  job: UnpackJob,
  incoming: ChunkSource,
  onGrown: (diskBytes: number) => void = () => {},
): Promise<UnpackedTree> {
  const source = new HashedSource(incoming, job.limits);
  onDisk('', () => mkdirSync(job.folder, { recursive: true, mode: 0o755 }));
  const writer = builderFor(job, onGrown);
  try {
    try {
      await writeTree(job, source, writer);
    } catch (error) {
      // bytes that are not what the claim named explain a broken archive better than the archive does
      if (isHostError(error, 'BadArchive')) await checkDigest(job, source);
      throw error;
    }
    await checkDigest(job, source);
    return writer.finish();
  } catch (error) {
    writer.close();
    await removeTree(job.folder);
    throw error;
  }
}

function builderFor(
  { folder: entryFolder, limits, imageName }: UnpackJob,
  onGrown: (diskBytes: number) => void,
): TreeBuilder {
  const folder = (): TreeBuilder => new TreeWriter(entryFolder, limits, onGrown);
  if (imageName === undefined) return folder();
  return new TreeOrImage({ folder, image: () => new ImageWriter(entryFolder, imageName, limits, onGrown) });
}

async function checkDigest(job: UnpackJob, source: HashedSource): Promise<void> {
  const actual = await source.digest();
  if (actual !== job.digest) throw hostError.digestMismatch(job.digest, actual);
}

async function writeTree(job: UnpackJob, source: HashedSource, writer: TreeBuilder): Promise<void> {
  switch (job.format) {
    case 'tar':
    case 'tar.gz':
    case 'tar.zst': {
      const reader = new TarReader(writer, job.limits);
      for await (const chunk of decompress(job.format, source, job.limits)) reader.push(chunk);
      return reader.finish();
    }
    case 'zip':
      return writeZip(job, source, writer);
    case 'file': {
      const filePath = `${job.folder}/archive`;
      const crc = await spool(source, filePath);
      return writer.adoptFile([job.fileName], filePath, source.readBytes, crc);
    }
  }
}

/** With the tail at hand entries are written while they arrive; without, the archive is first put down whole. */
async function writeZip(job: UnpackJob, source: HashedSource, writer: TreeBuilder): Promise<void> {
  const tail = await source.tail();
  const entries = tail === undefined ? undefined : await directoryIn(tail, job.limits);
  if (tail !== undefined && entries !== undefined) {
    return unzip(entries, tail.startByte + tail.bytes.length, new ByteReader(source), writer, job.limits);
  }
  const archivePath = `${job.folder}/archive`;
  await spool(source, archivePath);
  // nothing was written yet, so the digest can be checked first
  await checkDigest(job, source);
  const archive = new FileChunks(archivePath);
  try {
    const directory = await readZipDirectory(archive, job.limits);
    await unzip(directory, archive.archiveBytes, new ByteReader(archive), writer, job.limits);
  } finally {
    archive.close();
  }
  unlinkSync(archivePath);
}

async function directoryIn(tail: ZipTail, limits: UnpackLimits): Promise<Entry[] | undefined> {
  try {
    return await readZipDirectory(bytesOfTail(tail), limits);
  } catch (error) {
    if (error instanceof TailTooShort) return undefined;
    throw error;
  }
}

/** Returns the checksum of what it wrote. */
async function spool(source: HashedSource, path: string): Promise<number> {
  const fd = onDisk('', () => openSync(path, 'wx', 0o600));
  let crc = 0;
  try {
    for (let chunk = await source.next(); chunk !== undefined; chunk = await source.next()) {
      const bytes = chunk;
      crc = crc32(bytes, crc);
      writeWhole('', fd, bytes);
      releaseChunk(bytes);
    }
  } finally {
    closeSync(fd);
  }
  return crc;
}
