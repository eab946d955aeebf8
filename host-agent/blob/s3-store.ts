import { AwsV4Signer } from 'aws4fetch';
import { hostError } from '../errors.ts';
import type { S3CredentialSource } from './s3-credentials.ts';
import { S3CredentialProvider } from './s3-credentials.ts';
import type { OpenedBlob, OpenOptions } from './blob-store.ts';
import type { HttpGetDeps, HttpTarget } from './http-get.ts';
import type { MirrorableStore } from './mirrored-store.ts';
import { blobOf, discard, getWithRetries } from './http-get.ts';

export interface S3Options {
  /** Of the service, without a bucket. */
  endpoint: URL;
  region: string;
  /** `path`: endpoint/bucket/key; `virtual`: bucket.endpoint/key. */
  addressing: 'path' | 'virtual';
  credentials: S3CredentialSource;
}

/** One bucket of an S3-compatible store. */
export class S3Store implements MirrorableStore {
  readonly #deps: HttpGetDeps;
  readonly #bucket: string;
  readonly #options: S3Options;
  readonly #credentials: S3CredentialProvider;

  constructor(
    deps: HttpGetDeps,
    bucket: string,
    options: S3Options,
    credentials = new S3CredentialProvider(deps, options.credentials),
  ) {
    this.#deps = deps;
    this.#bucket = bucket;
    this.#options = options;
    this.#credentials = credentials;
  }

  async open(key: string, options: OpenOptions): Promise<OpenedBlob> {
    const endpoint = this.#options.endpoint.origin;
    const shown = this.#describe(key);
    const answer = await getWithRetries(this.#deps, endpoint, () => this.target(key), options);
    const blob = blobOf(answer, endpoint, options);
    if (blob !== undefined) return blob;
    discard(answer);
    if (answer.statusCode === 404) throw hostError.objectNotFound(shown);
    throw hostError.storeRefused(shown, answer.statusCode);
  }

  #describe(key: string): string {
    const { origin } = this.#options.endpoint;
    return `object ${JSON.stringify(key)} of bucket ${JSON.stringify(this.#bucket)} at ${origin}`;
  }

  /** The request for an object, signed now. */
  async target(key: string): Promise<HttpTarget> {
    // a URL parser would resolve these, and so leave the bucket
    if (key.split('/').some((segment) => segment === '' || segment === '.' || segment === '..')) {
      throw hostError.sourceNotAllowed(this.#describe(key), 'its key has an empty, "." or ".." segment');
    }
    const { endpoint, region, addressing } = this.#options;
    const isVirtual = addressing === 'virtual';
    const base = endpoint.pathname.replace(/\/$/, '');
    const path = [...(isVirtual ? [] : [this.#bucket]), ...key.split('/')].map(encodeSegment).join('/');
    const origin = isVirtual ? `${endpoint.protocol}//${this.#bucket}.${endpoint.host}` : endpoint.origin;
    const url = new URL(`${origin}${base}/${path}`);
    const credentials = await this.#credentials.get();
    if (credentials === undefined) return { url, headers: {} };
    const signer = new AwsV4Signer({ method: 'GET', url: url.href, service: 's3', region, ...credentials });
    const signed = await signer.sign();
    return { url: signed.url, headers: Object.fromEntries(signed.headers) };
  }
}

/** AWS's rule: everything but unreserved characters, which is a little more than encodeURIComponent does. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
