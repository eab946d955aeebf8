import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { CredentialList, type HttpCredential, type HttpIdentity } from '../core/credential-list.ts';
import { hostError } from '../errors.ts';

const credentialSchema = z.union([
  z.strictObject({ url: z.url({ protocol: /^(https?|oci)$/ }), bearer: z.string().min(1) }),
  z.strictObject({ url: z.url({ protocol: /^(https?|oci)$/ }), username: z.string(), password: z.string() }),
]);

/**
 * Who this node is to servers that ask, from a file of `[{"url": "https://host/prefix/", "bearer": "…"}]` or with `username` and
 * `password`: the longest prefix counts. The file (a mounted Secret) is read again when it changes. Whoever may claim on this node
 * may read what they open.
 */
export class HttpCredentials implements HttpIdentity {
  readonly #path: string | undefined;
  #readAtMs = Number.NaN;
  #credentials = new CredentialList([]);

  constructor(path: string | undefined) {
    this.#path = path;
  }

  authorizationFor(url: URL): string | undefined {
    this.#refresh();
    return this.#credentials.authorizationFor(url);
  }

  find(href: string): HttpCredential | undefined {
    this.#refresh();
    return this.#credentials.find(href);
  }

  #refresh(): void {
    if (this.#path === undefined) return;
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs === this.#readAtMs) return;
      const entries = z.array(credentialSchema).parse(JSON.parse(readFileSync(this.#path, 'utf8')));
      this.#credentials = new CredentialList(entries);
      this.#readAtMs = mtimeMs;
    } catch (error) {
      // the error itself may quote the file
      const why =
        error instanceof z.ZodError ? `its entry ${error.issues[0]?.path.join('.')} is wrong` : 'it cannot be read';
      throw hostError.storeRefusedBecause(`credentials file ${this.#path}`, why);
    }
  }
}
