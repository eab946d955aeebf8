import type { HostAgentConfig } from '../config.ts';
import type { Clock } from '../clock.ts';
import type { BlobStore } from './blob-store.ts';
import { BlobSources } from './blob-sources.ts';
import { Downloader } from './downloader.ts';
import type { FetchBudget } from './fetch-budget.ts';
import { FileStore } from './file-store.ts';
import { FolderStore } from './folder-store.ts';
import { HttpStore } from './http-store.ts';
import { S3Store } from './s3-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

type SourcesConfig = Pick<HostAgentConfig, 'store' | 'otherBuckets' | 'allowFileRoot' | 'allowLoopbackSources'>;

/** The stores that this node's configuration names. */
export function createSources(
  { clock, budget }: { clock: Clock; budget: FetchBudget },
  config: SourcesConfig,
): BlobSources {
  const { store, otherBuckets, allowFileRoot, allowLoopbackSources: allowLoopback } = config;
  const random = Math.random;
  // whoever runs the node chose this endpoint; only URLs that claims bring are held off from the node itself
  const s3Deps = { dispatcher: createSourceDispatcher({ allowLoopback: true }), clock, random };
  const httpDeps = { dispatcher: createSourceDispatcher({ allowLoopback }), clock, random };
  const buckets = new Map<string, BlobStore>(
    [...(store.kind === 's3' ? [store] : []), ...otherBuckets].map(({ bucket, options }) => [
      bucket,
      new S3Store(s3Deps, bucket, options),
    ]),
  );
  const defaultStore =
    store.kind === 'folder' ? new FolderStore(store.path) : store.kind === 's3' ? buckets.get(store.bucket) : undefined;
  return new BlobSources({
    downloader: new Downloader({ clock, random, budget }),
    ...(defaultStore === undefined ? {} : { defaultStore }),
    http: new HttpStore(httpDeps, { allowLoopback }),
    file: new FileStore(allowFileRoot),
    buckets,
  });
}
