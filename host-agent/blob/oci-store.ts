import { createHash } from 'node:crypto';
import { z } from 'zod';
import { basicAuthorization, type HttpIdentity } from '../core/credential-list.ts';
import type { OciReference } from '../core/oci-reference.ts';
import { parseBearerChallenge, parseOciSource } from '../core/oci-reference.ts';
import { hostError } from '../errors.ts';
import type { BlobStore, OpenedBlob, OpenOptions } from './blob-store.ts';
import type { FollowDeps } from './http-follow.ts';
import { getFollowing } from './http-follow.ts';
import type { HttpAnswer } from './http-get.ts';
import { blobOf, discard } from './http-get.ts';

const MANIFEST_TYPES =
  'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';
const MAX_JSON_BYTES = 4 * 1024 * 1024;
/** Tokens live for a minute at least, by the specification. */
const TOKEN_LIFE_MS = 50_000;

const manifestSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });
const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() });

/**
 * Layers of artefacts in a registry (distribution API v2). A layer is asked for by its digest, which the claim names; a reference with
 * a tag or the digest of a manifest is looked up first and must list that layer.
 */
export class OciStore implements BlobStore {
  readonly #deps: FollowDeps;
  readonly #credentials: HttpIdentity;
  readonly #tokens = new Map<string, { authorization: string; untilMs: number }>();

  constructor(deps: FollowDeps, credentials: HttpIdentity) {
    this.#deps = deps;
    this.#credentials = credentials;
  }

  /** `source` is `oci://registry/repository[:tag|@digest]#layer-digest`. */
  async open(source: string, options: OpenOptions): Promise<OpenedBlob> {
    const reference = parseOciSource(source);
    const { shown, layerDigest } = reference;
    // ranges after the first are of the same layer
    if (reference.reference !== undefined && (options.range?.startByte ?? 0) === 0) {
      await this.#checkManifest(reference, options);
    }
    const { answer } = await this.#get(reference, `blobs/${layerDigest}`, {}, options);
    const blob = blobOf(answer, reference.registry, options);
    if (blob !== undefined) return blob;
    discard(answer);
    throw this.#refusal(answer, `layer ${layerDigest} of ${shown}`);
  }

  async #checkManifest(wanted: OciReference, { signal }: OpenOptions): Promise<void> {
    const { reference = '', shown, layerDigest } = wanted;
    const { answer } = await this.#get(wanted, `manifests/${reference}`, { accept: MANIFEST_TYPES }, { signal });
    if (answer.statusCode !== 200) {
      discard(answer);
      throw this.#refusal(answer, shown);
    }
    const body = await readBounded(answer, wanted.registry);
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    if (reference.startsWith('sha256:') && reference !== digest) throw hostError.digestMismatch(reference, digest);
    const manifest = manifestSchema.safeParse(parseJson(body)).data;
    if (manifest === undefined) throw hostError.sourceNotAllowed(shown, 'it is no manifest with layers');
    if (!manifest.layers.some((layer) => layer.digest === layerDigest)) {
      throw hostError.objectNotFound(`layer ${layerDigest} in ${shown}`);
    }
  }

  async #get(
    wanted: OciReference,
    path: string,
    headers: Record<string, string>,
    options: OpenOptions,
  ): Promise<{ answer: HttpAnswer }> {
    const scheme = this.#deps.allowLoopback && /^(127\.|localhost[:/]?)/.test(wanted.registry) ? 'http' : 'https';
    const url = new URL(`${scheme}://${wanted.registry}/v2/${wanted.repository}/${path}`);
    const key = `${wanted.registry}/${wanted.repository}`;
    for (let attempt = 0; ; attempt++) {
      const known = this.#tokens.get(key);
      const authorization =
        known !== undefined && known.untilMs > this.#deps.clock.now() ? known.authorization : undefined;
      const headersFor = (hop: URL): Record<string, string> => ({
        ...headers,
        // a registry's redirect leads to a store that has its own way to know who asks
        ...(authorization !== undefined && hop.origin === url.origin ? { authorization } : {}),
      });
      const { answer } = await getFollowing(this.#deps, url, headersFor, options);
      if (answer.statusCode !== 401 || attempt > 0) return { answer };
      discard(answer);
      const challenge = answer.headers['www-authenticate'];
      const granted = await this.#authorize(wanted, typeof challenge === 'string' ? challenge : '', options.signal);
      this.#tokens.set(key, { authorization: granted, untilMs: this.#deps.clock.now() + TOKEN_LIFE_MS });
    }
  }

  async #authorize(
    { registry, repository, shown }: OciReference,
    challenge: string,
    signal: AbortSignal,
  ): Promise<string> {
    const own = this.#credentials.find(`oci://${registry}/${repository}`);
    if (own !== undefined && 'bearer' in own) return `Bearer ${own.bearer}`;
    const basic = own === undefined ? undefined : basicAuthorization(own.username, own.password);
    if (/^basic /i.test(challenge) && basic !== undefined) return basic;
    const bearer = parseBearerChallenge(challenge);
    if (bearer === undefined) throw hostError.storeRefused(shown, 401);
    const { realm, service } = bearer;
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', `repository:${repository}:pull`);
    const headersFor = (hop: URL): Record<string, string> =>
      basic === undefined || hop.origin !== realm.origin ? {} : { authorization: basic };
    const { answer } = await getFollowing(this.#deps, realm, headersFor, { signal });
    if (answer.statusCode !== 200) {
      discard(answer);
      throw hostError.storeRefused(shown, answer.statusCode);
    }
    const { token, access_token: accessToken } = tokenSchema
      .catch({})
      .parse(parseJson(await readBounded(answer, registry)));
    if (token === undefined && accessToken === undefined) throw hostError.storeRefused(shown, 401);
    return `Bearer ${token ?? accessToken}`;
  }

  #refusal({ statusCode }: HttpAnswer, what: string): Error {
    return statusCode === 404 ? hostError.objectNotFound(what) : hostError.storeRefused(what, statusCode);
  }
}

async function readBounded(answer: HttpAnswer, registry: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_JSON_BYTES) throw hostError.storeUnreachable(registry, 'its answer is too long');
      chunks.push(chunk);
    }
  } catch (error) {
    throw hostError.storeUnreachable(registry, 'its answer broke off or is too long', error);
  }
  return Buffer.concat(chunks);
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
