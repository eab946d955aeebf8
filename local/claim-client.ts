import { claimSchema, type Claim, type ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { errorBodySchema, type ErrorBody } from '@warmpool/protocol/errors.ts';
import { Pool } from 'undici';
import type { PackedFunction } from './pack-functions.ts';

export class ClaimRefused extends Error {
  override readonly name = 'ClaimRefused';
  readonly body: ErrorBody;

  constructor(body: ErrorBody) {
    super(`${body.statusCode} ${body.code}: ${body.message}`);
    this.body = body;
  }
}

/** The claim API as a platform would call it: over HTTP, on kept-alive connections. */
export class ClaimClient {
  readonly #pool: Pool;

  constructor(url: string, connections = 64) {
    this.#pool = new Pool(url, { connections });
  }

  async claim(namespace: string, pool: string, request: ClaimRequestInput): Promise<Claim> {
    return claimSchema.parse(await this.#call('POST', `/v1/pools/${namespace}/${pool}/claims`, request));
  }

  async release(namespace: string, claimId: string): Promise<void> {
    await this.#call('DELETE', `/v1/claims/${namespace}/${claimId}`);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  async #call(method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const reply = await this.#pool.request({
      method,
      path,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const answer: unknown = await reply.body.json();
    if (reply.statusCode < 400) return answer;
    throw new ClaimRefused(errorBodySchema.parse(answer));
  }
}

/** The claim for a packed function, as it stands in its `function.yaml`. */
export function claimFor(fn: PackedFunction, claimId: string): ClaimRequestInput {
  const { name, kind, handler, env } = fn.function;
  return {
    claimId,
    function: { name, version: fn.digest.slice(7, 19), tenant: 'example' },
    code: { key: fn.key, digest: fn.digest, format: fn.format },
    kind,
    handler,
    env,
  };
}
