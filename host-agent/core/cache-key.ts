import type { CodeReference } from '@warmpool/protocol/fields.ts';

type CodeForm = Pick<CodeReference, 'digest' | 'format' | 'fileName'>;

/**
 * The name of an entry's folder. Bytes alone do not tell a tree: the same ones can be a zip to one claim and a single file to
 * another, and neither may get what the other one unpacked.
 */
export function cacheKey({ digest, format, fileName }: CodeForm): string {
  const hex = digest.slice('sha256:'.length);
  return format === 'file' ? `${hex}.file.${fileName ?? ''}` : `${hex}.${format}`;
}

const cacheKeyPattern = /^([0-9a-f]{64})\.(tar|tar\.gz|tar\.zst|zip|file\.[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$/;

/** The digest of a folder's name, or undefined if this program did not make it. */
export function digestOfCacheKey(key: string): string | undefined {
  const match = cacheKeyPattern.exec(key);
  return match === null ? undefined : `sha256:${match[1]}`;
}
