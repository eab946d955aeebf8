import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { WantedCode } from '../core/cache-key.ts';
import { hostError } from '../errors.ts';
import type { BlobStore } from './blob-store.ts';
import type { Download, DownloadWish, Downloader } from './downloader.ts';
import type { PoolStores } from './pool-stores.ts';

export interface BlobSourcesDeps {
  downloader: Downloader;
  /** Of `code.key`; without one, keys are refused. */
  defaultStore?: BlobStore;
  http: BlobStore;
  file: BlobStore;
  oci: BlobStore;
  /** Bucket name to store: a claim names any bucket, this program's credentials open only these. */
  buckets: ReadonlyMap<string, BlobStore>;
  /** Of pools with a Secret. */
  ofPools: Pick<PoolStores, 'http' | 'oci' | 's3'>;
}

/** The key is taken as written: in an s3 URL "%" and "?" are characters of the key. */
const S3_URL = /^s3:\/\/([^/]*)\/?(.*)$/;

interface Found {
  store: BlobStore;
  source: string;
  link: string;
}

/** Where the bytes of a claim's code come from. */
export interface CodeSources {
  open(code: WantedCode, wish: DownloadWish): Promise<Download>;
}

/** Finds the store that a claim's code is in. */
export class BlobSources implements CodeSources {
  readonly #deps: BlobSourcesDeps;

  constructor(deps: BlobSourcesDeps) {
    this.#deps = deps;
  }

  async open(code: WantedCode, wish: DownloadWish): Promise<Download> {
    const { store, source, link } = this.#find(code);
    return this.#deps.downloader.open(store, source, link, wish);
  }

  #find({ key, url = '', digest, access }: WantedCode): Found {
    const { http, oci, file, ofPools } = this.#deps;
    if (key !== undefined) return access === undefined ? this.#findKey(key) : ofPool(ofPools, access, key);
    const parsed = new URL(url);
    switch (parsed.protocol) {
      case 'http:':
      case 'https:':
        return { store: access ? ofPools.http(access) : http, source: parsed.href, link: parsed.origin };
      case 'oci:':
        return { store: access ? ofPools.oci(access) : oci, source: `${url}#${digest}`, link: parsed.host };
      case 'file:':
        return { store: file, source: parsed.href, link: 'file' };
      case 's3:': {
        const [, bucket = '', objectKey = ''] = S3_URL.exec(url) ?? [];
        return access === undefined ? this.#findBucket(bucket, objectKey) : ofPool(ofPools, access, objectKey, bucket);
      }
      default:
        throw hostError.sourceNotAllowed(`scheme ${parsed.protocol}`, 'only s3, http(s), oci and file are known');
    }
  }

  #findKey(key: string): Found {
    const store = this.#deps.defaultStore;
    if (store === undefined) throw hostError.sourceNotAllowed(`key ${key}`, 'this host-agent has no default store');
    return { store, source: key, link: 'default' };
  }

  #findBucket(bucket: string, key: string): Found {
    const store = this.#deps.buckets.get(bucket);
    if (store === undefined) {
      throw hostError.sourceNotAllowed(`bucket ${JSON.stringify(bucket)}`, 'this host-agent is not set up for it');
    }
    return { store, source: key, link: `bucket ${bucket}` };
  }
}

function ofPool(stores: Pick<PoolStores, 's3'>, access: CodeAccess, key: string, bucket?: string): Found {
  const { store, origin } = stores.s3(access, bucket);
  return { store, source: key, link: origin };
}
