import type { Claim, ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import type { ErrorBody } from '@warmpool/protocol/errors.ts';
import { Agent, type Dispatcher, request } from 'undici';

export interface ClaimAnswer {
  /** HTTP status; 0 when the connection broke before an answer. */
  status: number;
  claim: Claim | undefined;
  error: ErrorBody | undefined;
  retryAfter: string | undefined;
  seconds: number;
}

/** A platform's side of the claim API. */
export class ClaimClient implements AsyncDisposable {
  readonly #dispatcher: Agent;

  constructor(connections: number) {
    this.#dispatcher = new Agent({ connections });
  }

  claim(url: string, namespace: string, pool: string, body: ClaimRequestInput): Promise<ClaimAnswer> {
    return this.#send('POST', `${url}/v1/pools/${namespace}/${pool}/claims`, body);
  }

  get(url: string, namespace: string, claimId: string): Promise<ClaimAnswer> {
    return this.#send('GET', `${url}/v1/claims/${namespace}/${claimId}`);
  }

  release(url: string, namespace: string, claimId: string): Promise<ClaimAnswer> {
    return this.#send('DELETE', `${url}/v1/claims/${namespace}/${claimId}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }

  async #send(method: Dispatcher.HttpMethod, url: string, body?: object): Promise<ClaimAnswer> {
    const startedMs = performance.now();
    const seconds = (): number => (performance.now() - startedMs) / 1000;
    try {
      const answer = await request(url, {
        dispatcher: this.#dispatcher,
        method,
        signal: AbortSignal.timeout(60_000),
        ...(body !== undefined && {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
      });
      const json = await answer.body.json();
      const isError = answer.statusCode >= 400;
      const retryAfter = answer.headers['retry-after'];
      return {
        status: answer.statusCode,
        claim: isError ? undefined : (json as Claim),
        error: isError ? (json as ErrorBody) : undefined,
        retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
        seconds: seconds(),
      };
    } catch {
      return { status: 0, claim: undefined, error: undefined, retryAfter: undefined, seconds: seconds() };
    }
  }
}
