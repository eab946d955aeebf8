import { hostError } from '../errors.ts';

const MAX_SEGMENT_BYTES = 255;

export interface PathLimits {
  maxPathBytes: number;
  maxDepth: number;
}

/**
 * The path segments of an archive entry below the tree's root; empty for the root itself. Refuses whatever could name a place
 * outside of it.
 */
export function parseEntryPath(name: string, limits: PathLimits): string[] {
  if (name === '') throw hostError.badEntry(name, 'has no name');
  if (name.includes('\0')) throw hostError.badEntry(name, 'has a NUL character in its name');
  if (name.startsWith('/')) throw hostError.badEntry(name, 'has an absolute path');
  // no character of a string takes more than three bytes
  if (name.length * 3 > limits.maxPathBytes && Buffer.byteLength(name) > limits.maxPathBytes) {
    throw hostError.badEntry(name, `has a path longer than ${limits.maxPathBytes} bytes`);
  }
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) throw hostError.badEntry(name, 'has ".." in its path');
  if (segments.length > limits.maxDepth) {
    throw hostError.badEntry(name, `is nested deeper than ${limits.maxDepth} folders`);
  }
  if (
    segments.some((segment) => segment.length * 3 > MAX_SEGMENT_BYTES && Buffer.byteLength(segment) > MAX_SEGMENT_BYTES)
  ) {
    throw hostError.badEntry(name, `has a part longer than ${MAX_SEGMENT_BYTES} bytes in its name`);
  }
  return segments;
}

/**
 * A link may only be written as some `..` and then names, with no more `..` than it has parents. Since no entry is ever written
 * through a link, those `..` climb real folders, and by induction every link ends inside the tree, whatever links its names go
 * through. (`a/link/../..` would not: where `..` leads after a link depends on the link.)
 */
export function checkLinkTarget(entry: readonly string[], target: string, limits: PathLimits): void {
  const name = entry.join('/');
  if (target === '' || target.includes('\0')) throw hostError.badEntry(name, 'is a link to an invalid path');
  if (target.startsWith('/')) throw hostError.badEntry(name, 'is a link to an absolute path');
  if (Buffer.byteLength(target) > limits.maxPathBytes) {
    throw hostError.badEntry(name, `is a link to a path longer than ${limits.maxPathBytes} bytes`);
  }
  const segments = target.split('/').filter((segment) => segment !== '' && segment !== '.');
  const firstName = segments.findIndex((segment) => segment !== '..');
  const climbs = firstName === -1 ? segments.length : firstName;
  if (climbs > entry.length - 1 || segments.lastIndexOf('..') >= climbs) throw hostError.linkOut(name, target);
}
