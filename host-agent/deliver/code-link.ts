import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';

/**
 * Makes `codeLink` lead to the tree: the record of what a pod uses, read again when this program restarts. Synchronous: two system
 * calls of 10 µs, where the way over the thread pool would take ten times that.
 */
export function linkTree(codeLink: string, treePath: string): void {
  try {
    symlinkSync(treePath, codeLink);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (readlinkSync(codeLink) !== treePath) replaceLink(codeLink, treePath);
  }
}

function replaceLink(codeLink: string, treePath: string): void {
  const next = `${codeLink}.next`;
  rmSync(next, { force: true });
  symlinkSync(treePath, next);
  renameSync(next, codeLink);
}
