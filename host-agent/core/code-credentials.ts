import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { HttpCredential } from './credential-list.ts';
import { CredentialList } from './credential-list.ts';
import { hostError, type SecretReference } from '../errors.ts';

/** What an S3 request is signed with. */
export interface S3Keys {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

const DOCKER_CONFIG = '.dockerconfigjson';
const dockerConfigSchema = z.object({
  auths: z.record(
    z.string(),
    z.object({ auth: z.string().optional(), username: z.string().optional(), password: z.string().optional() }),
  ),
});

/**
 * What one reading of a pool's Secret has brought. Its values are in private fields only, so that nothing that prints, serialises or
 * compares this object shows them.
 */
export class CodeCredentials {
  readonly secret: SecretReference;
  readonly #data: ReadonlyMap<string, string>;
  #http: CredentialList | undefined;

  /** `data` as the apiserver gives it: values in base64. */
  constructor(secret: SecretReference, data: Readonly<Record<string, string>>) {
    this.secret = secret;
    const entries = Object.entries(data);
    this.#data = new Map(entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]));
  }

  isSameAs(other: CodeCredentials): boolean {
    return isDeepStrictEqual(this.#data, other.#data);
  }

  /** @throws CredentialsMissing that names the key. */
  s3(): S3Keys {
    return {
      accessKeyId: this.#visible('accessKeyId'),
      secretAccessKey: this.#visible('secretAccessKey'),
      ...(this.#has('sessionToken') && { sessionToken: this.#visible('sessionToken') }),
    };
  }

  /** Each for the addresses that the Secret itself names: who claims chooses URLs, and must not choose who is told a password. */
  http(): CredentialList {
    return (this.#http ??= new CredentialList([...this.#ofUrl(), ...this.#ofRegistries()]));
  }

  #ofUrl(): HttpCredential[] {
    const url = this.#data.get('url');
    if (url === undefined) return [];
    if (!/^(https?|oci):\/\/[^\s@]+$/.test(url) || !URL.canParse(url)) {
      throw this.#wrong('url', 'is not an http(s):// or oci:// URL without a user name');
    }
    const prefix = url.startsWith('oci:') ? url : new URL(url).href;
    if (this.#has('bearer')) return [{ url: prefix, bearer: this.#visible('bearer') }];
    return [{ url: prefix, username: this.#required('username'), password: this.#required('password') }];
  }

  #ofRegistries(): HttpCredential[] {
    const text = this.#data.get(DOCKER_CONFIG);
    if (text === undefined) return [];
    const { auths } = dockerConfigSchema.safeParse(parseJson(text)).data ?? {};
    if (auths === undefined) throw this.#wrong(DOCKER_CONFIG, 'is not a registry configuration with "auths"');
    return Object.entries(auths).map(([registry, { auth, ...plain }]) => {
      const [, username = '', password = ''] =
        auth === undefined
          ? [undefined, plain.username, plain.password]
          : (/^([^:]*):([\s\S]*)$/.exec(Buffer.from(auth, 'base64').toString('utf8')) ?? []);
      // written with a scheme and a version of the API by some tools
      const url = `oci://${registry.replace(/^https?:\/\//, '').replace(/(\/v[12])?\/*$/, '')}`;
      return { url, username, password };
    });
  }

  #required(key: string): string {
    const value = this.#data.get(key) ?? '';
    if (value === '') throw hostError.credentialsMissing(this.secret, `has no key ${key}`);
    return value;
  }

  #has(key: string): boolean {
    return (this.#data.get(key) ?? '') !== '';
  }

  /** For a header. One that cannot be sent would be shown by the error about it; the line break of a file's end is not meant. */
  #visible(key: string): string {
    const value = this.#required(key).trimEnd();
    if (!/^[\x21-\x7e]+$/.test(value)) throw this.#wrong(key, 'has characters that cannot be sent');
    return value;
  }

  #wrong(key: string, why: string): Error {
    return hostError.credentialsMissing(this.secret, `cannot be used: its key ${key} ${why}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
