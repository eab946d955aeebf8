import { hash } from 'node:crypto';
import { poolParamsSchema } from '@warmpool/protocol/claim-api.ts';
import { API_GROUP } from '@warmpool/protocol/names.ts';
import PQueue from 'p-queue';
import type { Clock } from '../engine/clock.ts';
import { isKubeError, KubeError, type Resource } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import { claimError, type ClaimError } from '../errors.ts';
import type { AccessRule, ClaimAccess } from '../http/claim-access.ts';
import { ReviewCache, type Review, type Verdict } from './review-cache.ts';

export interface ReviewedAccessDeps {
  clock: Clock;
  log: Log;
  /** Posts a review and gives it back with its status; rejects with a KubeError. */
  review: (resource: Resource, body: object, options: { timeoutMs: number }) => Promise<object>;
}

export interface ReviewedAccessOptions {
  /** A token must be meant for one of these; one for the apiserver is not for us. */
  audiences: string[];
  /** How long a grant holds without being asked for again. */
  allowTtlMs?: number;
  denyTtlMs?: number;
}

const TOKEN_REVIEWS: Resource = {
  ...{ group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews', kind: 'TokenReview' },
};
const SUBJECT_ACCESS_REVIEWS: Resource = {
  ...{ group: 'authorization.k8s.io', version: 'v1', plural: 'subjectaccessreviews', kind: 'SubjectAccessReview' },
};

const namespaceSchema = poolParamsSchema.shape.namespace;
const REVIEW_TIMEOUT_MS = 3_000;
const CACHE_LIMIT = 10_000;
/** Reviews at once; and how many may wait, so that a flood of tokens nobody knows is refused instead of piled up. */
const CONCURRENCY = 16;
const WAITING_LIMIT = 256;
/** Every caller meets the same trouble, and each tries again. */
const TELL_EVERY_MS = 10_000;

interface User {
  username: string;
  uid?: string;
  groups?: string[];
  extra?: Record<string, string[]>;
}

interface TokenReview {
  status?: { authenticated?: boolean; user?: User; audiences?: string[]; error?: string };
}
interface SubjectAccessReview {
  status?: { allowed?: boolean; reason?: string; evaluationError?: string };
}

/** Who calls is what a TokenReview says, what they may do is what a SubjectAccessReview says. Tokens are kept as digests only. */
export class ReviewedAccess implements ClaimAccess {
  readonly #deps: ReviewedAccessDeps;
  readonly #audiences: string[];
  readonly #users: ReviewCache<User>;
  readonly #decisions: ReviewCache<true>;
  readonly #reviews = new PQueue({ concurrency: CONCURRENCY });
  #toldMs = -Infinity;
  #untold = 0;

  constructor(deps: ReviewedAccessDeps, { audiences, allowTtlMs = 10_000, denyTtlMs = 2_000 }: ReviewedAccessOptions) {
    this.#deps = deps;
    this.#audiences = audiences;
    const options = { limit: CACHE_LIMIT, allowTtlMs, denyTtlMs };
    this.#users = new ReviewCache(deps.clock, options);
    this.#decisions = new ReviewCache(deps.clock, options);
  }

  check(authorization: string | undefined, rule: AccessRule, namespace: string | undefined): Promise<void> | undefined {
    if (authorization === undefined)
      throw unauthenticated('this API needs a token: send Authorization: Bearer <token>');
    const caller = hash('sha256', authorization, 'base64');
    const key = `${caller} ${rule.verb} ${rule.resource}/${rule.subresource ?? ''} ${namespace ?? ''}`;
    const decide: Review<true> = () => this.#decide(authorization, caller, rule, namespace);
    const known = this.#decisions.known(key, decide);
    if (known === undefined) return this.#decided(key, decide);
    if (known.error !== undefined) throw known.error;
    return undefined;
  }

  async #decided(key: string, decide: Review<true>): Promise<void> {
    const { error } = await this.#decisions.get(key, decide);
    if (error !== undefined) throw error;
  }

  async #decide(
    authorization: string,
    caller: string,
    rule: AccessRule,
    namespace: string | undefined,
  ): ReturnType<Review<true>> {
    const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
    if (token === undefined)
      return { error: unauthenticated('the Authorization header must be: Bearer <token of a ServiceAccount or user>') };
    if (namespace !== undefined && !namespaceSchema.safeParse(namespace).success)
      return { error: claimError('InvalidRequest', `${JSON.stringify(namespace)} cannot be the name of a namespace`) };
    const user = await this.#users.get(caller, () => this.#identify(token));
    if (user.error !== undefined) return user;
    // what the user may do holds no longer than that the token is that user's
    return { ...(await this.#authorize(user.value, rule, namespace)), untilMs: user.untilMs };
  }

  async #identify(token: string): Promise<Verdict<User>> {
    const { status } = await this.#ask<TokenReview>(TOKEN_REVIEWS, { spec: { token, audiences: this.#audiences } });
    const isForUs = status?.audiences?.some((audience) => this.#audiences.includes(audience)) ?? false;
    if (status?.authenticated === true && status.user !== undefined && isForUs) return { value: status.user };
    const audience = this.#audiences.join(' or ');
    return {
      error: unauthenticated(
        `the token is not valid here: it may have expired or been revoked, or it is not for audience ${audience} (kubectl create token NAME --audience ${this.#audiences[0]})`,
      ),
    };
  }

  async #authorize(user: User, rule: AccessRule, namespace: string | undefined): Promise<Verdict<true>> {
    const { username, uid, groups, extra } = user;
    const { verb, resource, subresource } = rule;
    const attributes = { verb, group: API_GROUP, resource, subresource, namespace: namespace ?? '' };
    const spec = { user: username, uid, groups, extra, resourceAttributes: attributes };
    const { status } = await this.#ask<SubjectAccessReview>(SUBJECT_ACCESS_REVIEWS, { spec });
    if (status?.allowed === true) return { value: true };
    const what = subresource === undefined ? resource : `${resource}/${subresource}`;
    const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
    const why = [status?.reason, status?.evaluationError].filter(Boolean).join('; ');
    return {
      error: claimError(
        'Forbidden',
        `${username} may not ${verb} ${what} of ${API_GROUP} ${where}${why === '' ? '' : `: ${why}`}; ClusterRole warmpool-claimer, bound there, allows it`,
      ),
    };
  }

  async #ask<T>(resource: Resource, body: object): Promise<T> {
    const { review } = this.#deps;
    try {
      if (this.#reviews.size >= WAITING_LIMIT)
        throw new KubeError(429, 'TooManyRequests', 'too many callers wait to be reviewed');
      return (await this.#reviews.add(() => review(resource, body, { timeoutMs: REVIEW_TIMEOUT_MS }))) as T;
    } catch (error) {
      this.#tell(error, resource);
      const why = isKubeError(error, 403) ? `the operator itself may not create ${resource.plural}` : words(error);
      throw claimError('AccessUnknown', `who you are and what you may do could not be looked up: ${why}; try again`, {
        cause: error,
        retryAfterSeconds: 1,
      });
    }
  }

  /** `untold`: how many times it failed since the last line. */
  #tell(error: unknown, resource: Resource): void {
    const { clock, log } = this.#deps;
    if (clock.monotonic() - this.#toldMs < TELL_EVERY_MS) {
      this.#untold += 1;
      return;
    }
    log.warn({ err: error, resource: resource.plural, untold: this.#untold }, 'a caller could not be reviewed');
    this.#toldMs = clock.monotonic();
    this.#untold = 0;
  }
}

function unauthenticated(message: string): ClaimError {
  return claimError('Unauthenticated', message);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
