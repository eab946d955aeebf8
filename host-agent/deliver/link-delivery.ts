import { readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import type { CodeDelivery } from './code-delivery.ts';

/**
 * For pods that share this machine's file system: `code` in the pod's folder becomes a link to the tree. The link is the record of
 * what the pod uses, read again when this program restarts. What the pod is told is the tree itself: module loaders resolve
 * links anyway, so `__filename`, the working folder and stack traces agree, and prepared forms are found by the same path in every pod.
 *
 * Synchronous: two system calls of 10 µs, where the way over the thread pool would take ten times that.
 */
export const linkDelivery: CodeDelivery = {
  deliver({ folder: { codeLink } }, treePath) {
    try {
      symlinkSync(treePath, codeLink);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      if (readlinkSync(codeLink) !== treePath) replaceLink(codeLink, treePath);
    }
    return treePath;
  },
};

function replaceLink(codeLink: string, treePath: string): void {
  const next = `${codeLink}.next`;
  rmSync(next, { force: true });
  symlinkSync(treePath, next);
  renameSync(next, codeLink);
}
