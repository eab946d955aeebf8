import { hash } from 'node:crypto';
import type { CodeReference } from '@warmpool/protocol/fields.ts';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';

/** A claim's code, and with what it is fetched: `access` says a pool's Secret, else it is what this host-agent was given. */
export type WantedCode = CodeReference & { access?: CodeAccess | undefined };

type CodeForm = Pick<WantedCode, 'digest' | 'format' | 'fileName' | 'access'>;

/**
 * The name of an entry's folder. Bytes alone do not tell a tree: the same ones can be a zip to one claim and a single file to
 * another, and neither may get what the other one unpacked. Nor may a claim get what another pool's Secret has opened: whoever knows
 * a digest has not shown that the code is theirs to read.
 */
export function cacheKey({ digest, format, fileName, access }: CodeForm): string {
  const name = `${hexOf(digest)}${ownerSuffix(access)}`;
  return format === 'file' ? `${name}.file.${fileName ?? ''}` : `${name}.${format}`;
}

const cacheKeyPattern =
  /^([0-9a-f]{64})(-[0-9a-f]{32})?\.(tar|tar\.gz|tar\.zst|zip|file\.[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$/;

/** The digest of a folder's name, or undefined if this program did not make it. */
export function digestOfCacheKey(key: string): string | undefined {
  const match = cacheKeyPattern.exec(key);
  return match === null ? undefined : `sha256:${match[1]}`;
}

/** What peers call the bytes: their digest, and behind it whose Secret opened them. */
export function artefactId({ digest, access }: Pick<WantedCode, 'digest' | 'access'>): string {
  return `${digest}${ownerSuffix(access)}`;
}

export function digestOfArtefact(id: string): string {
  return id.slice(0, 'sha256:'.length + 64);
}

/** The Secret owns what it opened, whatever is in it later: another one of that name is of the same namespace. */
function ownerSuffix(access: CodeAccess | undefined): string {
  if (access === undefined) return '';
  return `-${hash('sha256', `${access.namespace}/${access.secretName}`).slice(0, 32)}`;
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}
