import { basename, join } from 'node:path';

const SUFFIX = '.erofs';

/** Named after its entry: a mount of it shows no more than this name, and that is how it is recognised in the mount table. */
export function imageNameOf(key: string): string {
  return `${key}${SUFFIX}`;
}

export function keyOfImageName(name: string): string | undefined {
  return name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : undefined;
}

/** The image in an entry's folder. */
export function imagePathOf(entryFolder: string): string {
  return join(entryFolder, imageNameOf(basename(entryFolder)));
}
