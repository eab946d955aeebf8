import type { Logger } from 'pino';
import type { HostAgentConfig } from '../config.ts';
import type { Mounter } from '../mounts/mounter.ts';
import { TreeImages } from '../mounts/tree-images.ts';
import { CacheFolder } from './cache-folder.ts';

/** Says in the log what trees of many files are on this node: it decides what a first claim costs. */
export async function openCacheFolder(
  { mounter, log }: { mounter: Mounter | undefined; log: Logger },
  { cacheDir }: HostAgentConfig,
): Promise<CacheFolder> {
  if (mounter === undefined) return CacheFolder.open(cacheDir);
  const images = new TreeImages(mounter);
  const folder = await CacheFolder.open(cacheDir, images);
  if (images.missing === undefined) log.info('trees of many files are kept as erofs images');
  else
    log.info({ reason: images.missing }, 'erofs images cannot be mounted on this node: every tree is kept as a folder');
  return folder;
}
