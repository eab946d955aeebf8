import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { hostError } from '../errors.ts';

const credentialSchema = z.union([
  z.strictObject({ url: z.url({ protocol: /^(https?|oci)$/ }), bearer: z.string().min(1) }),
  z.strictObject({ url: z.url({ protocol: /^(https?|oci)$/ }), username: z.string(), password: z.string() }),
]);
type Credential = z.output<typeof credentialSchema>;

/**
 * Who this node is to servers that ask, from a file of `[{"url": "https://host/prefix/", "bearer": "…"}]` or with `username` and
 * `password`: the longest prefix counts. The file (a mounted Secret) is read again when it changes. Whoever may claim on this node
 * may read what they open.
 */
export class HttpCredentials {
  readonly #path: string | undefined;
  #readAtMs = Number.NaN;
  #credentials: Credential[] = [];

  constructor(path: string | undefined) {
    this.#path = path;
  }

  authorizationFor(url: URL): string | undefined {
    const found = this.find(url.href);
    if (found === undefined) return undefined;
    return 'bearer' in found ? `Bearer ${found.bearer}` : basicAuthorization(found.username, found.password);
  }

  find(href: string): Credential | undefined {
    this.#refresh();
    const isBelow = (prefix: string): boolean => href === prefix || href.startsWith(prefix.replace(/\/?$/, '/'));
    const matching = this.#credentials.filter(({ url }) => isBelow(url));
    return matching.toSorted((a, b) => b.url.length - a.url.length)[0];
  }

  #refresh(): void {
    if (this.#path === undefined) return;
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs === this.#readAtMs) return;
      this.#credentials = z.array(credentialSchema).parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      this.#readAtMs = mtimeMs;
    } catch (error) {
      // the error itself may quote the file
      const why =
        error instanceof z.ZodError ? `its entry ${error.issues[0]?.path.join('.')} is wrong` : 'it cannot be read';
      throw hostError.storeRefusedBecause(`credentials file ${this.#path}`, why);
    }
  }
}

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
