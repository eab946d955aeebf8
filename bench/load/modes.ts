import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import type { LoadExample } from './examples.ts';

/** What a row compares. A mode that does not apply to an example has no row for it. */
export interface LoadMode {
  name: string;
  appliesTo: (example: LoadExample) => boolean;
  /** More settings for the standby process. */
  settings?: (example: LoadExample, treeDir: string) => Record<string, string>;
  /** The tree is copied to where a pod has its code, beside the socket. */
  isAtHome?: (example: LoadExample) => boolean;
  /** Makes another tree out of the packed one, in `folder`, which does not exist yet. */
  prepareTree?: (treeDir: string, folder: string) => Promise<void>;
}

export const LOAD_MODES: readonly LoadMode[] = [
  { name: 'standby', appliesTo: () => true },
  {
    name: 'standby-rehearsal',
    appliesTo: ({ name }) => name === 'trivial',
    settings: () => ({ WARMPOOL_REHEARSE: '0' }),
  },
  {
    name: 'standby+preimport',
    appliesTo: ({ packages }) => packages.length > 0,
    isAtHome: ({ runtime }) => runtime === 'nodejs',
    // the function has a copy of its own beside what the pool's image would hold
    prepareTree: (treeDir, folder) => cp(treeDir, folder, { recursive: true }),
    settings: ({ runtime, packages }, treeDir) => ({
      WARMPOOL_PRE_IMPORT: packages.join(','),
      [runtime === 'python' ? 'PYTHONPATH' : 'WARMPOOL_PRE_IMPORT_DIR']: treeDir,
    }),
  },
  {
    name: 'standby-cache',
    appliesTo: ({ runtime, packages }) => runtime === 'python' && packages.length > 0,
    prepareTree: async (treeDir, folder) => {
      await cp(treeDir, folder, {
        recursive: true,
        filter: (source) => path.basename(source) !== '__pycache__',
      });
    },
  },
];

export const MODE_NAMES = LOAD_MODES.map(({ name }) => name);

export async function removeTree(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}
