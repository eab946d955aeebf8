import { isIP } from 'node:net';
import { isNodeLocalAddress } from '../core/source-address.ts';
import { publicUrl } from '../core/public-url.ts';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';
import type { HttpAnswer, HttpGetDeps } from './http-get.ts';
import { blobOf, discard, getWithRetries } from './http-get.ts';

const MAX_REDIRECTS = 5;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);

/** `http(s)://` URLs. Its dispatcher must refuse node-local addresses after name resolution (blob/source-dispatcher.ts). */
export class HttpStore implements BlobStore {
  readonly #deps: HttpGetDeps;
  readonly #allowLoopback: boolean;

  constructor(deps: HttpGetDeps, options: { allowLoopback: boolean }) {
    this.#deps = deps;
    this.#allowLoopback = options.allowLoopback;
  }

  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    let url = new URL(source);
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      this.#checkAddress(url);
      const answer = await this.#get(url, options);
      if (!REDIRECT_STATUSES.has(answer.statusCode)) return this.#read(url, answer, options);
      discard(answer);
      url = followed(url, answer.headers['location']);
    }
    throw hostError.sourceNotAllowed(publicUrl(url), `it is reached only over more than ${MAX_REDIRECTS} redirects`);
  }

  #get(url: URL, options: OpenOptions): Promise<HttpAnswer> {
    const headers: Record<string, string> = { accept: '*/*', 'accept-encoding': 'identity' };
    if (url.username !== '' || url.password !== '') headers['authorization'] = basicAuthorization(url);
    return getWithRetries(this.#deps, url.origin, () => Promise.resolve({ url, headers }), options);
  }

  #read(url: URL, answer: HttpAnswer, options: OpenOptions): OpenedBlob {
    const blob = blobOf(answer, url.origin, options);
    if (blob !== undefined) return blob;
    discard(answer);
    if (answer.statusCode === 404 || answer.statusCode === 410) throw hostError.objectNotFound(publicUrl(url));
    throw hostError.storeRefused(publicUrl(url), answer.statusCode);
  }

  #checkAddress(url: URL): void {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw hostError.sourceNotAllowed(publicUrl(url), 'it redirects away from http(s)');
    }
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (!this.#allowLoopback && isIP(host) !== 0 && isNodeLocalAddress(host)) {
      throw hostError.sourceNotAllowed(publicUrl(url), 'it is an address of the node itself or a link-local one');
    }
  }
}

function basicAuthorization(url: URL): string {
  try {
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    return `Basic ${Buffer.from(credentials).toString('base64')}`;
  } catch {
    throw hostError.sourceNotAllowed(publicUrl(url), 'its user name or password is not valid percent-encoding');
  }
}

function followed(from: URL, location: string | string[] | undefined): URL {
  if (typeof location !== 'string' || !URL.canParse(location, from.href)) {
    throw hostError.storeUnreachable(from.origin, 'it redirects to nowhere');
  }
  const to = new URL(location, from);
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw hostError.sourceNotAllowed(publicUrl(to), 'it redirects from https to http');
  }
  return to;
}
