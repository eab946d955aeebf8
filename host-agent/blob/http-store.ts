import { basicAuthorization, type HttpIdentity } from '../core/credential-list.ts';
import { publicUrl } from '../core/public-url.ts';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';
import type { FollowDeps } from './http-follow.ts';
import { getFollowing } from './http-follow.ts';
import { blobOf, discard } from './http-get.ts';

/** `http(s)://` URLs. */
export class HttpStore implements BlobStore {
  readonly #deps: FollowDeps;
  readonly #credentials: HttpIdentity;

  constructor(deps: FollowDeps, credentials: HttpIdentity) {
    this.#deps = deps;
    this.#credentials = credentials;
  }

  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    const headersFor = (hop: URL): Record<string, string> => {
      const authorization = authorizationIn(hop) ?? this.#credentials.authorizationFor(hop);
      return authorization === undefined ? {} : { authorization };
    };
    const { url, answer } = await getFollowing(this.#deps, new URL(source), headersFor, options);
    const blob = blobOf(answer, url.origin, options);
    if (blob !== undefined) return blob;
    discard(answer);
    if (answer.statusCode === 404 || answer.statusCode === 410) throw hostError.objectNotFound(publicUrl(url));
    throw hostError.storeRefused(publicUrl(url), answer.statusCode);
  }
}

function authorizationIn(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  try {
    return basicAuthorization(decodeURIComponent(url.username), decodeURIComponent(url.password));
  } catch {
    throw hostError.sourceNotAllowed(publicUrl(url), 'its user name or password is not valid percent-encoding');
  }
}
