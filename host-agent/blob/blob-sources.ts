import type { CodeReference } from '@warmpool/protocol/fields.ts';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob } from './blob-store.ts';

export interface BlobSourcesDeps {
  /** Of `code.key`; without one, keys are refused. */
  defaultStore?: BlobStore;
  http: BlobStore;
  file: BlobStore;
  /** Bucket name to store: a claim names any bucket, this program's credentials open only these. */
  buckets: ReadonlyMap<string, BlobStore>;
}

/** Finds the store that a claim's code is in. */
export class BlobSources {
  readonly #deps: BlobSourcesDeps;

  constructor(deps: BlobSourcesDeps) {
    this.#deps = deps;
  }

  open(code: CodeReference, options: { signal: AbortSignal }): Promise<OpenedBlob> {
    const { store, source } = this.#find(code);
    return store.open(source, options);
  }

  #find({ key, url }: CodeReference): { store: BlobStore; source: string } {
    if (key !== undefined) {
      const store = this.#deps.defaultStore;
      if (store === undefined) throw hostError.sourceNotAllowed(`key ${key}`, 'this host-agent has no default store');
      return { store, source: key };
    }
    const parsed = new URL(url ?? '');
    switch (parsed.protocol) {
      case 'http:':
      case 'https:':
        return { store: this.#deps.http, source: parsed.href };
      case 'file:':
        return { store: this.#deps.file, source: parsed.href };
      case 's3:':
        return this.#findBucket(url ?? '');
      default:
        throw hostError.sourceNotAllowed(`scheme ${parsed.protocol}`, 'only s3, http(s) and file are known');
    }
  }

  /** The key is taken as written: in an s3 URL "%" and "?" are characters of the key. */
  #findBucket(url: string): { store: BlobStore; source: string } {
    const [, bucket = '', key = ''] = /^s3:\/\/([^/]*)\/?(.*)$/.exec(url) ?? [];
    const store = this.#deps.buckets.get(bucket);
    if (store === undefined) {
      throw hostError.sourceNotAllowed(`bucket ${JSON.stringify(bucket)}`, 'this host-agent is not set up for it');
    }
    return { store, source: key };
  }
}
