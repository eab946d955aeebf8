import { readFile } from 'node:fs/promises';
import type { Dispatcher } from 'undici';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { S3Keys } from '../core/code-credentials.ts';
import { hostError, isHostError } from '../errors.ts';

/** Where credentials come from. `none`: requests go unsigned, for public buckets. */
export type S3CredentialSource =
  | { kind: 'none' }
  | { kind: 'static'; credentials: S3Keys }
  | { kind: 'web-identity'; stsEndpoint: URL; roleArn: string; tokenFile: string; sessionName: string }
  | { kind: 'container'; url: URL; tokenFile: string | undefined }
  | { kind: 'instance'; endpoint: URL };

/** A new set is fetched when the old one lives no longer than this. */
const REFRESH_MS = 5 * 60_000;
const LIMIT_MS = 5_000;

interface Lease {
  credentials: S3Keys;
  untilUnixMs: number;
}

/** Credentials that are fetched are kept until shortly before they end, and used to their end when no new ones can be had. */
export class S3CredentialProvider {
  readonly #deps: { dispatcher: Dispatcher; clock: Clock };
  readonly #source: S3CredentialSource;
  #lease: Lease | undefined;
  #fetching: Promise<Lease> | undefined;

  constructor(deps: { dispatcher: Dispatcher; clock: Clock }, source: S3CredentialSource) {
    this.#deps = deps;
    this.#source = source;
  }

  async get(): Promise<S3Keys | undefined> {
    if (this.#source.kind === 'none') return undefined;
    if (this.#source.kind === 'static') return this.#source.credentials;
    const leftMs = (this.#lease?.untilUnixMs ?? 0) - this.#deps.clock.now();
    if (this.#lease !== undefined && leftMs > REFRESH_MS) return this.#lease.credentials;
    this.#fetching ??= this.#fetch().finally(() => (this.#fetching = undefined));
    try {
      this.#lease = await this.#fetching;
    } catch (error) {
      if (this.#lease === undefined || leftMs <= 0) throw error;
    }
    return this.#lease.credentials;
  }

  async #fetch(): Promise<Lease> {
    const source = this.#source;
    try {
      switch (source.kind) {
        case 'web-identity':
          return await this.#assumeRole(source);
        case 'container': {
          const token = source.tokenFile === undefined ? undefined : (await readFile(source.tokenFile, 'utf8')).trim();
          return leaseOf(await this.#call(source.url, 'GET', token === undefined ? {} : { authorization: token }));
        }
        case 'instance':
          return await this.#askInstance(source.endpoint);
        case 'none':
        case 'static':
          throw new Error('nothing to fetch');
      }
    } catch (error) {
      if (isHostError(error)) throw error;
      throw hostError.storeRefusedBecause('the store', `no ${source.kind} credentials can be had (${describe(error)})`);
    }
  }

  async #assumeRole(source: Extract<S3CredentialSource, { kind: 'web-identity' }>): Promise<Lease> {
    const body = new URLSearchParams({
      Action: 'AssumeRoleWithWebIdentity',
      Version: '2011-06-15',
      RoleArn: source.roleArn,
      RoleSessionName: source.sessionName,
      // read each time: the kubelet renews it
      WebIdentityToken: (await readFile(source.tokenFile, 'utf8')).trim(),
    }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const xml = await this.#call(source.stsEndpoint, 'POST', headers, body);
    const value = (name: string): string => new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1] ?? '';
    const [AccessKeyId, SecretAccessKey] = [value('AccessKeyId'), value('SecretAccessKey')];
    const [Token, Expiration] = [value('SessionToken'), value('Expiration')];
    return leaseOf(JSON.stringify({ AccessKeyId, SecretAccessKey, Token, Expiration }));
  }

  /** Version 2 of the metadata service: a token first, which no forwarded request could get. */
  async #askInstance(endpoint: URL): Promise<Lease> {
    const at = (path: string): URL => new URL(path, endpoint);
    const token = await this.#call(at('/latest/api/token'), 'PUT', { 'x-aws-ec2-metadata-token-ttl-seconds': '300' });
    const headers = { 'x-aws-ec2-metadata-token': token };
    const role = await this.#call(at('/latest/meta-data/iam/security-credentials/'), 'GET', headers);
    const path = `/latest/meta-data/iam/security-credentials/${encodeURIComponent(role.trim().split('\n')[0] ?? '')}`;
    return leaseOf(await this.#call(at(path), 'GET', headers));
  }

  async #call(
    url: URL,
    method: 'GET' | 'POST' | 'PUT',
    headers: Record<string, string>,
    body?: string,
  ): Promise<string> {
    const answer = await this.#deps.dispatcher.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method,
      headers,
      signal: AbortSignal.timeout(LIMIT_MS),
      ...(body === undefined ? {} : { body }),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`${url.host} answers ${answer.statusCode}`);
    return text;
  }
}

const leaseSchema = z.object({
  AccessKeyId: z.string().min(1),
  SecretAccessKey: z.string().min(1),
  Token: z.string().min(1),
  Expiration: z.iso.datetime({ offset: true }),
});

function leaseOf(text: string): Lease {
  const parsed = leaseSchema.parse(JSON.parse(text));
  const credentials = {
    accessKeyId: parsed.AccessKeyId,
    secretAccessKey: parsed.SecretAccessKey,
    sessionToken: parsed.Token,
  };
  return { credentials, untilUnixMs: Date.parse(parsed.Expiration) };
}

/** Never the answer itself: it may hold half of a secret. */
function describe(error: unknown): string {
  if (error instanceof z.ZodError || error instanceof SyntaxError) return 'the answer is not what it should be';
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
