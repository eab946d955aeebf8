import { setTimeout as delay } from 'node:timers/promises';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { ErrorBody } from '@warmpool/protocol/errors.ts';
import { request } from 'undici';
import type { Platform } from '../product.ts';

/** Refusals that ask to be tried again; everything else is an answer. */
const TRY_AGAIN = new Set([429, 502, 503, 504]);
/** A claim that nobody answers for this long is a claim that was not answered. */
const ANSWER_LIMIT_MS = 120_000;
const CALL_LIMIT_MS = 40_000;
const PAUSE_MS = 250;

export interface Refusal {
  status: number;
  code: string;
  message: string;
}

/** What came of one claim, however often it was sent. */
export interface Outcome {
  claimId: string;
  refusals: Refusal[];
  /** The connection broke or could not be made. */
  broken: number;
  answer: { status: number; claim?: Claim; error?: ErrorBody } | undefined;
}

export type ClaimBody = (claimId: string) => object;

/** A platform in bad times: a new connection for each call, the same claim again after a refusal, and a memory of what it was told. */
export class Claimant {
  readonly outcomes: Outcome[] = [];
  /** Answered, not released, and not known to be lost. */
  readonly held = new Map<string, Claim>();
  readonly #platform: Platform;
  readonly #body: ClaimBody;

  constructor(platform: Platform, body: ClaimBody) {
    this.#platform = platform;
    this.#body = body;
  }

  /** The claim's answer at last, 201 or not. `more` goes into its body. */
  async send(pool: string, claimId: string, more: object = {}, limitMs = ANSWER_LIMIT_MS): Promise<Outcome> {
    const outcome: Outcome = { claimId, refusals: [], broken: 0, answer: undefined };
    this.outcomes.push(outcome);
    const untilMs = performance.now() + limitMs;
    const path = `/v1/pools/${this.#platform.namespace}/${pool}/claims`;
    const body = { ...this.#body(claimId), ...more };
    while (performance.now() < untilMs) {
      const answer = await this.call('POST', path, body).catch(() => undefined);
      if (answer === undefined) outcome.broken += 1;
      else if (TRY_AGAIN.has(answer.status)) outcome.refusals.push(refusalOf(answer));
      else {
        outcome.answer = answer;
        if (answer.claim !== undefined) this.held.set(claimId, answer.claim);
        return outcome;
      }
      await delay(PAUSE_MS);
    }
    return outcome;
  }

  /** Once, whatever the answer; to one replica if `url` says which. */
  async sendOnce(pool: string, claimId: string, more: object, url?: string): Promise<NonNullable<Outcome['answer']>> {
    const path = `/v1/pools/${this.#platform.namespace}/${pool}/claims`;
    return this.call('POST', path, { ...this.#body(claimId), ...more }, url);
  }

  /** One that must succeed. */
  async claim(pool: string, claimId: string, more: object = {}): Promise<Claim> {
    const { answer, ...tried } = await this.send(pool, claimId, more);
    if (answer?.claim === undefined) throw new Error(`claim ${claimId}: ${JSON.stringify(answer ?? tried)}`);
    return answer.claim;
  }

  /** What the claim API says of it now; status 0 when it cannot be reached. */
  async state(claimId: string): Promise<string> {
    const answer = await this.call('GET', `/v1/claims/${this.#platform.namespace}/${claimId}`).catch(() => undefined);
    return answer?.claim?.state ?? answer?.error?.code ?? 'no answer';
  }

  /** Until the API has said that it is over. */
  async release(claimId: string): Promise<void> {
    const untilMs = performance.now() + ANSWER_LIMIT_MS;
    while (performance.now() < untilMs) {
      const path = `/v1/claims/${this.#platform.namespace}/${claimId}`;
      const answer = await this.call('DELETE', path).catch(() => undefined);
      if (answer !== undefined && !TRY_AGAIN.has(answer.status)) {
        // 404, 410: its instance was lost, and that was told or is forgotten by now
        if (![200, 404, 410].includes(answer.status)) throw new Error(`release ${claimId}: ${JSON.stringify(answer)}`);
        this.held.delete(claimId);
        return;
      }
      await delay(PAUSE_MS);
    }
    throw new Error(`claim ${claimId} could not be released`);
  }

  async releaseAll(): Promise<void> {
    await Promise.all([...this.held.keys()].map((claimId) => this.release(claimId)));
  }

  /** Who answers at an instance's address. */
  async invoke({ address }: Claim): Promise<string> {
    const answer = await request(address?.url ?? '', {
      method: 'POST',
      body: '{}',
      reset: true,
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    const body = (await answer.body.json()) as { claim?: string };
    if (answer.statusCode !== 200) throw new Error(`${answer.statusCode} ${JSON.stringify(body)}`);
    return body.claim ?? '';
  }

  async call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    sent?: object,
    url = this.#platform.url,
  ): Promise<NonNullable<Outcome['answer']>> {
    const { statusCode, body } = await request(`${url}${path}`, {
      method,
      headers: { ...this.#platform.headers, ...(sent !== undefined && { 'content-type': 'application/json' }) },
      body: sent === undefined ? null : JSON.stringify(sent),
      reset: true,
      signal: AbortSignal.timeout(CALL_LIMIT_MS),
    });
    const answer: unknown = await body.json();
    return statusCode < 400
      ? { status: statusCode, claim: answer as Claim }
      : { status: statusCode, error: answer as ErrorBody };
  }
}

function refusalOf({ status, error }: NonNullable<Outcome['answer']>): Refusal {
  return { status, code: error?.code ?? '', message: error?.message ?? '' };
}
