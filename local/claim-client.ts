import { claimSchema, type Claim, type ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { errorBodySchema, type ErrorBody } from '@warmpool/protocol/errors.ts';
import { exchange, type JsonAnswer } from '@warmpool/wire/json-client.ts';
import { Pool } from 'undici';
import type { PackedFunction } from './pack-functions.ts';

/** Longer than any claim may wait. */
const TIMEOUT_MS = 330_000;

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
  readonly #headers: Record<string, string>;

  /** `headers` go with every request, such as `authorization`. */
  constructor(url: string, connections = 64, headers: Record<string, string> = {}) {
    this.#headers = headers;
    this.#pool = new Pool(url, { connections, headersTimeout: 0, bodyTimeout: 0 });
  }

  async claim(namespace: string, pool: string, request: ClaimRequestInput): Promise<Claim> {
    return this.read(await this.send(namespace, pool, request));
  }

  /** The answer as it came; {@link read} makes a claim of it. */
  send(namespace: string, pool: string, request: ClaimRequestInput): Promise<JsonAnswer> {
    const path = `/v1/pools/${namespace}/${pool}/claims`;
    return exchange(this.#pool, { method: 'POST', path, body: request, headers: this.#headers, timeoutMs: TIMEOUT_MS });
  }

  async release(namespace: string, claimId: string): Promise<Claim> {
    const path = `/v1/claims/${namespace}/${claimId}`;
    return this.read(
      await exchange(this.#pool, { method: 'DELETE', path, headers: this.#headers, timeoutMs: TIMEOUT_MS }),
    );
  }

  read({ statusCode, text }: JsonAnswer): Claim {
    const body: unknown = JSON.parse(text);
    if (statusCode < 400) return claimSchema.parse(body);
    throw new ClaimRefused(errorBodySchema.parse(body));
  }

  async close(): Promise<void> {
    await this.#pool.close();
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
