import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import { CodeCredentials } from '../core/code-credentials.ts';
import { SingleFlight } from '../core/single-flight.ts';
import { hostError, isHostError, type SecretReference } from '../errors.ts';
import type { Apiserver } from './apiserver.ts';

/** A Secret that was changed takes effect within this; at once where the store refuses what it held before. */
export const SECRET_LIFE_MS = 30_000;
/** What was read again this short a time ago, or could not be read, is left alone: a store that refuses everybody must not become a flood. */
const FRESH_MS = 1_000;
const MAX_SECRETS = 1_000;

const secretSchema = z.object({ data: z.record(z.string(), z.string()).default({}) });

/** Pools' Secrets, by name. Rejects with CredentialsMissing, CredentialsUnavailable or the signal's reason. */
export interface SecretReader {
  read(secret: SecretReference, signal: AbortSignal): Promise<CodeCredentials>;
  /** After a store refused `used`: what the Secret holds now. The very same object when it is as it was. */
  readAgain(used: CodeCredentials, signal: AbortSignal): Promise<CodeCredentials>;
}

/** `missing`: not there, or not for this host-agent to read; `unavailable`: the apiserver did not say. */
export type SecretOutcome = 'read' | 'missing' | 'unavailable';

type Reading = { readAtMs: number; isAgain: boolean } & ({ credentials: CodeCredentials } | { error: Error });

export interface KubeSecretReaderDeps {
  apiserver: Pick<Apiserver, 'get'>;
  clock: Clock;
  onRead: (outcome: SecretOutcome) => void;
}

/** Reads Secrets from the apiserver and keeps them for {@link SECRET_LIFE_MS}, in memory only. */
export class KubeSecretReader implements SecretReader {
  readonly #deps: KubeSecretReaderDeps;
  readonly #readings = new LRUCache<string, Reading>({ max: MAX_SECRETS });
  readonly #flights = new SingleFlight<string, CodeCredentials>();

  constructor(deps: KubeSecretReaderDeps) {
    this.#deps = deps;
  }

  async read(secret: SecretReference, signal: AbortSignal): Promise<CodeCredentials> {
    const known = this.#readings.get(pathOf(secret));
    const ageMs = this.#deps.clock.monotonic() - (known?.readAtMs ?? -Infinity);
    if (known !== undefined && 'error' in known && ageMs < FRESH_MS) throw known.error;
    if (known !== undefined && 'credentials' in known && ageMs < SECRET_LIFE_MS) return known.credentials;
    return this.#ask(secret, false, signal);
  }

  async readAgain(used: CodeCredentials, signal: AbortSignal): Promise<CodeCredentials> {
    const known = this.#readings.get(pathOf(used.secret));
    if (known !== undefined && 'credentials' in known && known.credentials !== used) return known.credentials;
    const isFresh = known?.isAgain === true && this.#deps.clock.monotonic() - known.readAtMs < FRESH_MS;
    if (!isFresh) return this.#ask(used.secret, true, signal);
    if ('error' in known) throw known.error;
    return known.credentials;
  }

  #ask(secret: SecretReference, isAgain: boolean, signal: AbortSignal): Promise<CodeCredentials> {
    return this.#flights.join(pathOf(secret), signal, () => this.#askOnce(secret, isAgain));
  }

  async #askOnce(secret: SecretReference, isAgain: boolean): Promise<CodeCredentials> {
    const path = pathOf(secret);
    const readAtMs = this.#deps.clock.monotonic();
    try {
      const now = await this.#fetch(secret, path);
      const before = this.#readings.get(path);
      const isSame = before !== undefined && 'credentials' in before && before.credentials.isSameAs(now);
      const credentials = isSame ? before.credentials : now;
      this.#readings.set(path, { credentials, readAtMs, isAgain });
      this.#deps.onRead('read');
      return credentials;
    } catch (error) {
      this.#deps.onRead(isHostError(error, 'CredentialsMissing') ? 'missing' : 'unavailable');
      if (isHostError(error)) this.#readings.set(path, { error, readAtMs, isAgain });
      throw error;
    }
  }

  async #fetch(secret: SecretReference, path: string): Promise<CodeCredentials> {
    const { statusCode, text } = await this.#deps.apiserver.get(path).catch((error: unknown) => {
      // by code only: a message may quote what was sent
      const { code, name } = error as NodeJS.ErrnoException;
      throw hostError.credentialsUnavailable(secret, `the apiserver gives no answer (${code ?? name})`, { code });
    });
    switch (statusCode) {
      case 200:
        return new CodeCredentials(secret, dataOf(secret, text));
      case 404:
        throw hostError.credentialsMissing(secret, 'does not exist');
      case 403:
        throw hostError.credentialsMissing(
          secret,
          'may not be read by the host-agents: a Role and a RoleBinding there have to name it (docs/install.md)',
        );
      case 401:
        throw hostError.credentialsUnavailable(secret, 'the apiserver does not take the host-agent’s token');
      default:
        throw hostError.credentialsUnavailable(secret, `the apiserver answers ${statusCode}`);
    }
  }
}

/** Of a host-agent that knows no apiserver. */
export class NoSecretReader implements SecretReader {
  read(secret: SecretReference): Promise<CodeCredentials> {
    const why = 'cannot be read: this host-agent was started without --service-account-dir (local mode has no Secrets)';
    return Promise.reject(hostError.credentialsMissing(secret, why));
  }

  readAgain(used: CodeCredentials): Promise<CodeCredentials> {
    return this.read(used.secret);
  }
}

/** Both names were checked where they came in, and none is empty: that would be the list. */
function pathOf({ namespace, secretName }: SecretReference): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(secretName)}`;
}

/** Never the parser's own words: they may quote the Secret. */
function dataOf(secret: SecretReference, text: string): Record<string, string> {
  try {
    return secretSchema.parse(JSON.parse(text)).data;
  } catch {
    throw hostError.credentialsUnavailable(secret, 'the apiserver’s answer is not a Secret');
  }
}
