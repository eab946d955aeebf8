/** Who to be towards the server at a URL and everything below it. */
export type HttpCredential = { url: string } & ({ bearer: string } | { username: string; password: string });

/** What a store asks when a server wants to know who asks. */
export interface HttpIdentity {
  authorizationFor(url: URL): string | undefined;
  find(href: string): HttpCredential | undefined;
}

/** Of several that match the longest prefix counts. */
export class CredentialList implements HttpIdentity {
  readonly #credentials: readonly HttpCredential[];

  constructor(credentials: readonly HttpCredential[]) {
    this.#credentials = credentials;
  }

  authorizationFor(url: URL): string | undefined {
    const found = this.find(url.href);
    if (found === undefined) return undefined;
    return 'bearer' in found ? `Bearer ${found.bearer}` : basicAuthorization(found.username, found.password);
  }

  find(href: string): HttpCredential | undefined {
    const isBelow = (prefix: string): boolean => href === prefix || href.startsWith(prefix.replace(/\/?$/, '/'));
    const matching = this.#credentials.filter(({ url }) => isBelow(url));
    return matching.toSorted((a, b) => b.url.length - a.url.length)[0];
  }
}

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
