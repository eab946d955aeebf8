import type { CodeCredentials } from '../core/code-credentials.ts';
import { isHostError, type SecretReference } from '../errors.ts';
import type { SecretReader } from '../secrets/secret-reader.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';

/** A store that is opened with what a pool's Secret holds. When it refuses that, the Secret is read once more. */
export class SecretStore implements BlobStore {
  readonly #secrets: SecretReader;
  readonly #secret: SecretReference;
  readonly #storeWith: (credentials: CodeCredentials) => BlobStore;

  constructor(secrets: SecretReader, secret: SecretReference, storeWith: (credentials: CodeCredentials) => BlobStore) {
    this.#secrets = secrets;
    this.#secret = secret;
    this.#storeWith = storeWith;
  }

  /** Besides what every store rejects with: CredentialsMissing, CredentialsUnavailable. */
  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    const credentials = await this.#secrets.read(this.#secret, options.signal);
    try {
      return await this.#storeWith(credentials).open(source, options);
    } catch (error) {
      if (!isAboutWhoAsks(error)) throw error;
      const now = await this.#secrets.readAgain(credentials, options.signal);
      if (now === credentials) throw error;
      return this.#storeWith(now).open(source, options);
    }
  }
}

/** A key that was missing may be there by now, too. */
function isAboutWhoAsks(error: unknown): boolean {
  if (isHostError(error, 'CredentialsMissing')) return true;
  return isHostError(error, 'StoreRefused') && [401, 403].includes(error.facts.storeStatus ?? 0);
}
