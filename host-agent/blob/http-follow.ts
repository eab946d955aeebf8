import { isIP } from 'node:net';
import { isNodeLocalAddress } from '../core/source-address.ts';
import { publicUrl } from '../core/public-url.ts';
import { hostError } from '../errors.ts';
import type { OpenOptions } from './blob-store.ts';
import type { HttpAnswer, HttpGetDeps } from './http-get.ts';
import { discard, getWithRetries } from './http-get.ts';

const MAX_REDIRECTS = 5;
const REDIRECT_STATUSES = new Set([301, 302, 303, 307, 308]);

export interface FollowDeps extends HttpGetDeps {
  /** Its dispatcher must refuse node-local addresses after name resolution too (blob/source-dispatcher.ts). */
  allowLoopback: boolean;
}

/** Asked for every hop anew: what is for one host is not for the next. */
export type HeadersFor = (url: URL) => Record<string, string>;

/** A GET that follows a bounded number of redirects, to no place that a tenant may not reach. */
export async function getFollowing(
  deps: FollowDeps,
  start: URL,
  headersFor: HeadersFor,
  options: OpenOptions,
): Promise<{ url: URL; answer: HttpAnswer }> {
  let url = start;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    checkAddress(url, deps.allowLoopback);
    const target = { url, headers: { accept: '*/*', 'accept-encoding': 'identity', ...headersFor(url) } };
    const answer = await getWithRetries(deps, url.origin, () => Promise.resolve(target), options);
    if (!REDIRECT_STATUSES.has(answer.statusCode)) return { url, answer };
    discard(answer);
    url = followed(url, answer.headers['location']);
  }
  throw hostError.sourceNotAllowed(publicUrl(url), `it is reached only over more than ${MAX_REDIRECTS} redirects`);
}

/** By address; names are looked at when they are resolved. */
export function checkAddress(url: URL, allowLoopback: boolean): void {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw hostError.sourceNotAllowed(publicUrl(url), 'it redirects away from http(s)');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (!allowLoopback && isIP(host) !== 0 && isNodeLocalAddress(host)) {
    throw hostError.sourceNotAllowed(publicUrl(url), 'it is an address of the node itself or a link-local one');
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
