import type { CodeDelivery } from './code-delivery.ts';
import { linkTree } from './code-link.ts';

/**
 * For pods that share this machine's file system: `code` in the pod's folder becomes a link to the tree. What the pod is told is the
 * tree itself: module loaders resolve links anyway, so `__filename`, the working folder and stack traces agree, and prepared forms
 * are found by the same path in every pod.
 */
export const linkDelivery: CodeDelivery = {
  deliver({ folder }, treePath) {
    linkTree(folder.codeLink, treePath);
    return treePath;
  },
};
