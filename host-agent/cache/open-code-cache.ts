import type { CodeSources } from '../blob/blob-sources.ts';
import { createSources } from '../blob/create-sources.ts';
import type { FetchBudget } from '../blob/fetch-budget.ts';
import type { MirrorOutcome } from '../blob/mirrored-store.ts';
import type { HostAgentConfig } from '../config.ts';
import { DEFAULT_UNPACK_LIMITS } from '../core/unpack-limits.ts';
import type { SecretReader } from '../secrets/secret-reader.ts';
import type { CodeCacheDeps } from './code-cache.ts';
import { CodeCache } from './code-cache.ts';

type OpenCodeCacheDeps = Omit<CodeCacheDeps, 'sources'> & {
  budget: FetchBudget;
  onMirror: (outcome: MirrorOutcome) => void;
  secrets: SecretReader;
  /** What is asked before the stores. */
  peers: { over(origin: CodeSources): CodeSources } | undefined;
};

/** The cache that this node's configuration asks for, with the stores that it names. */
export async function openCodeCache(deps: OpenCodeCacheDeps, config: HostAgentConfig): Promise<CodeCache> {
  const { budget, onMirror, secrets, clock, peers } = deps;
  const stores = createSources({ clock, budget, onMirror, secrets }, config);
  const sources = peers?.over(stores) ?? stores;
  const { maxArchiveBytes, maxUnpackedBytes, maxEntries } = config;
  return CodeCache.open(
    { ...deps, sources },
    {
      limitBytes: config.cacheBytes,
      fetchConcurrency: config.fetchConcurrency,
      unpackLimits: { ...DEFAULT_UNPACK_LIMITS, maxArchiveBytes, maxUnpackedBytes, maxEntries },
    },
  );
}
