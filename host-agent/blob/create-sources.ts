import { readFileSync } from 'node:fs';
import { CircuitBreaker } from '../core/circuit-breaker.ts';
import type { HostAgentConfig } from '../config.ts';
import type { Clock } from '../clock.ts';
import type { SecretReader } from '../secrets/secret-reader.ts';
import type { BlobStore } from './blob-store.ts';
import { BlobSources } from './blob-sources.ts';
import { Downloader } from './downloader.ts';
import type { FetchBudget } from './fetch-budget.ts';
import { FileStore } from './file-store.ts';
import { FolderStore } from './folder-store.ts';
import { HttpCredentials } from './http-credentials.ts';
import { HttpStore } from './http-store.ts';
import type { MirrorOutcome } from './mirrored-store.ts';
import { MirroredStore } from './mirrored-store.ts';
import { OciStore } from './oci-store.ts';
import { PoolStores } from './pool-stores.ts';
import type { S3Options } from './s3-store.ts';
import { S3Store } from './s3-store.ts';
import { createSourceDispatcher } from './source-dispatcher.ts';

type SourcesConfig = Pick<
  HostAgentConfig,
  'store' | 'otherBuckets' | 'allowFileRoot' | 'allowLoopbackSources' | 'mirror' | 'caFile' | 'httpCredentialsFile'
>;

export interface CreateSourcesDeps {
  clock: Clock;
  budget: FetchBudget;
  onMirror: (outcome: MirrorOutcome) => void;
  secrets: SecretReader;
}

/** The stores that this node's configuration names. */
export function createSources(
  { clock, budget, onMirror, secrets }: CreateSourcesDeps,
  config: SourcesConfig,
): BlobSources {
  const {
    store,
    otherBuckets,
    allowFileRoot,
    allowLoopbackSources: allowLoopback,
    mirror,
    caFile,
    httpCredentialsFile,
  } = config;
  const random = Math.random;
  // whoever runs the node chose this endpoint; only URLs that claims bring are held off from the node itself
  const ca = caFile === undefined ? {} : { extraCa: readFileSync(caFile, 'utf8') };
  const s3Deps = { dispatcher: createSourceDispatcher({ allowLoopback: true, ...ca }), clock, random };
  const httpDeps = { dispatcher: createSourceDispatcher({ allowLoopback, ...ca }), clock, random, allowLoopback };
  const httpCredentials = new HttpCredentials(httpCredentialsFile);
  // one mirror is in good health or is not, whichever bucket finds out
  const breaker = new CircuitBreaker(random);
  const openBucket = (bucket: string, options: S3Options): BlobStore => {
    const origin = new S3Store(s3Deps, bucket, options);
    return mirror === undefined
      ? origin
      : new MirroredStore({ ...s3Deps, origin, onOutcome: onMirror }, mirror, breaker);
  };
  const named = [...(store.kind === 's3' ? [store] : []), ...otherBuckets];
  const buckets = new Map(named.map(({ bucket, options }) => [bucket, openBucket(bucket, options)]));
  const defaultStore =
    store.kind === 'folder' ? new FolderStore(store.path) : store.kind === 's3' ? buckets.get(store.bucket) : undefined;
  const ownStore = store.kind === 's3' ? { ...store.options, bucket: store.bucket } : undefined;
  return new BlobSources({
    downloader: new Downloader({ clock, random, budget }),
    ...(defaultStore === undefined ? {} : { defaultStore }),
    http: new HttpStore(httpDeps, httpCredentials),
    oci: new OciStore(httpDeps, httpCredentials),
    file: new FileStore(allowFileRoot),
    buckets,
    ofPools: new PoolStores({ secrets, s3: s3Deps, http: httpDeps, ownStore }),
  });
}
