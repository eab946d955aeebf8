import { hostError } from '../errors.ts';
import type { WantedCode } from '../core/cache-key.ts';
import type { BlobStore } from './blob-store.ts';
import type { Download, DownloadWish, Downloader } from './downloader.ts';

export interface BlobSourcesDeps {
  downloader: Downloader;
  /** Of `code.key`; without one, keys are refused. */
  defaultStore?: BlobStore;
  http: BlobStore;
  file: BlobStore;
  oci: BlobStore;
  /** Bucket name to store: a claim names any bucket, this program's credentials open only these. */
  buckets: ReadonlyMap<string, BlobStore>;
}

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

  #find({ key, url, digest }: WantedCode): Found {
    if (key !== undefined) {
      const store = this.#deps.defaultStore;
      if (store === undefined) throw hostError.sourceNotAllowed(`key ${key}`, 'this host-agent has no default store');
      return { store, source: key, link: 'default' };
    }
    const parsed = new URL(url ?? '');
    switch (parsed.protocol) {
      case 'http:':
      case 'https:':
        return { store: this.#deps.http, source: parsed.href, link: parsed.origin };
      case 'oci:':
        return { store: this.#deps.oci, source: `${url}#${digest}`, link: parsed.host };
      case 'file:':
        return { store: this.#deps.file, source: parsed.href, link: 'file' };
      case 's3:':
        return this.#findBucket(url ?? '');
      default:
        throw hostError.sourceNotAllowed(`scheme ${parsed.protocol}`, 'only s3, http(s), oci and file are known');
    }
  }

  /** The key is taken as written: in an s3 URL "%" and "?" are characters of the key. */
  #findBucket(url: string): Found {
    const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/.exec(url) ?? [];
    const store = this.#deps.buckets.get(bucket);
    if (store === undefined) {
      throw hostError.sourceNotAllowed(`bucket ${JSON.stringify(bucket)}`, 'this host-agent is not set up for it');
    }
    return { store, source: key, link: `bucket ${bucket}` };
  }
}
