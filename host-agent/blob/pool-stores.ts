import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import type { CodeCredentials } from '../core/code-credentials.ts';
import type { HttpIdentity } from '../core/credential-list.ts';
import { parseOciSource } from '../core/oci-reference.ts';
import { hostError, isHostError, type SecretReference } from '../errors.ts';
import type { SecretReader } from '../secrets/secret-reader.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';
import { parseS3Store, type S3Place } from './config.ts';
import { checkAddress, type FollowDeps } from './http-follow.ts';
import type { HttpGetDeps } from './http-get.ts';
import { HttpStore } from './http-store.ts';
import { OciStore } from './oci-store.ts';
import { S3Store } from './s3-store.ts';
import { SecretStore } from './secret-store.ts';

export interface PoolStoresDeps {
  secrets: SecretReader;
  /** Of the stores that this node's configuration names. */
  s3: HttpGetDeps;
  /** Of what pools and claims name: not this node itself. */
  http: FollowDeps;
  /** This host-agent's own; undefined when it has none that speaks S3. */
  ownStore: S3Place | undefined;
}

/**
 * The stores of pools that have a Secret for their code. That Secret alone opens them: nothing that this host-agent was given is used,
 * and no mirror, which would give one pool what it keeps from another.
 */
export class PoolStores {
  readonly #deps: PoolStoresDeps;
  /** One for each reading of a Secret: it keeps the tokens that a registry gave for it. */
  readonly #registries = new WeakMap<CodeCredentials, BlobStore>();

  constructor(deps: PoolStoresDeps) {
    this.#deps = deps;
  }

  http(access: CodeAccess): BlobStore {
    const { secrets, http } = this.#deps;
    return new SecretStore(secrets, access, (credentials) => {
      const identity = credentials.http();
      return new KnownStore(new HttpStore(http, identity), access, (source) => isFor(identity, source));
    });
  }

  oci(access: CodeAccess): BlobStore {
    return new SecretStore(this.#deps.secrets, access, (credentials) => {
      const known = this.#registries.get(credentials);
      if (known !== undefined) return known;
      const identity = credentials.http();
      const isForIt = (source: string): boolean => isFor(identity, repositoryOf(source));
      const store = new KnownStore(new OciStore(this.#deps.http, identity), access, isForIt);
      this.#registries.set(credentials, store);
      return store;
    });
  }

  /** `bucket` absent: the one of the pool's store, or of this host-agent's. `origin` is what is measured together. */
  s3(access: CodeAccess, bucket?: string): { store: BlobStore; origin: string } {
    const { secrets, s3, http, ownStore } = this.#deps;
    const place = access.store === undefined ? ownStore : parseS3Store(access.store);
    if (place === undefined) {
      const why = 'its pool has credentials, but neither it nor this host-agent has an s3 store (spec.code.store)';
      throw hostError.sourceNotAllowed(bucket === undefined ? 'code.key' : `bucket ${JSON.stringify(bucket)}`, why);
    }
    // who may make pools must not reach the node itself by them
    if (access.store !== undefined) checkAddress(place.endpoint, http.allowLoopback);
    const deps = access.store === undefined ? s3 : http;
    const storeWith = (credentials: CodeCredentials): BlobStore => {
      const signing = { kind: 'static', credentials: credentials.s3() } as const;
      return new S3Store(deps, bucket ?? place.bucket, { ...place, credentials: signing });
    };
    return { store: new SecretStore(secrets, access, storeWith), origin: place.endpoint.origin };
  }
}

/** Says of a refusal that the Secret has nothing for this address, where that is why. */
class KnownStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #secret: SecretReference;
  readonly #isFor: (source: string) => boolean;

  constructor(store: BlobStore, secret: SecretReference, isForSource: (source: string) => boolean) {
    this.#store = store;
    this.#secret = secret;
    this.#isFor = isForSource;
  }

  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    try {
      return await this.#store.open(source, options);
    } catch (error) {
      if (!isHostError(error, 'StoreRefused') || this.#isFor(source)) throw error;
      const why = `has no key url (or .dockerconfigjson) that is for this address: ${error.message}`;
      throw hostError.credentialsMissing(this.#secret, why);
    }
  }
}

function isFor(identity: HttpIdentity, href: string): boolean {
  return identity.find(href) !== undefined;
}

function repositoryOf(source: string): string {
  const { registry, repository } = parseOciSource(source);
  return `oci://${registry}/${repository}`;
}
