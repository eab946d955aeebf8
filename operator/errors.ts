import type { FieldProblem } from '@warmpool/protocol/errors.ts';

/** Every refusal of the claim API: a stable code, the status it is answered with, and what it means. */
const ERRORS = {
  InvalidRequest: 400, // a field is wrong, missing or unknown
  InvalidJson: 400, // the body does not parse
  Unauthenticated: 401, // no token, or none that is valid here
  Forbidden: 403, // the caller may not do that in that namespace
  AccessUnknown: 503, // the apiserver could not be asked who calls and what they may do
  HostNotAllowed: 403, // called by a name that is not this machine's
  NotFound: 404, // no such route
  PoolNotFound: 404, // no such WarmPool, or it is being deleted
  PrefetchNotFound: 404, // no such prefetch, or it ended long ago, or another replica had it
  ClaimNotFound: 404, // no such claim, or its record has expired
  ClaimConflict: 409, // the claim id was used before with another body
  PrefetchConflict: 409, // the same code is brought to the same nodes from another source now
  NoNodes: 409, // nothing there to bring code to
  RuntimeMismatch: 409, // the pool serves another runtime
  ClaimReleased: 410, // the claim id belongs to an instance that was released
  BodyTooLarge: 413,
  UnsupportedMediaType: 415,
  PoolEmpty: 429, // nothing is standby and the pool rejects
  TooManyPrefetches: 429, // as many as there may be are under way
  QueueFull: 429, // nothing is standby and the queue is at its bound
  NotLeader: 503, // another replica serves claims
  Draining: 503, // this replica is shutting down
  ClaimDeadlineExceeded: 504, // the claim's own deadline passed
  ClaimAbandoned: 499, // the client went away
  InstanceLost: 410, // the claim had an instance, and it died
  PodLost: 502, // the pod died before it was ready
  KubernetesUnavailable: 503, // the apiserver refused or did not answer the claim's write
  HostAgentUnavailable: 502, // the node's host-agent did not answer
  Internal: 500,
} as const;
export type ClaimErrorCode = keyof typeof ERRORS;

export class ClaimError extends Error {
  override readonly name = 'ClaimError';
  /** One of the codes above, or a load error's code from the host-agent, passed through. */
  readonly code: string;
  readonly statusCode: number;
  readonly details: FieldProblem[] | undefined;
  readonly phase: string | undefined;
  readonly userStack: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: string, statusCode: number, message: string, extra: ClaimErrorExtra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.statusCode = statusCode;
    this.details = extra.details;
    this.phase = extra.phase;
    this.userStack = extra.userStack;
    this.retryAfterSeconds = extra.retryAfterSeconds;
  }
}

export interface ClaimErrorExtra {
  cause?: unknown;
  details?: FieldProblem[] | undefined;
  /** Where the user's code failed. */
  phase?: string | undefined;
  /** The user code's own stack, never ours. */
  userStack?: string | undefined;
  retryAfterSeconds?: number | undefined;
}

export function claimError(code: ClaimErrorCode, message: string, extra?: ClaimErrorExtra): ClaimError {
  return new ClaimError(code, ERRORS[code], message, extra);
}

export function notLeader(): ClaimError {
  return claimError('NotLeader', 'another operator replica serves claims now; try again', { retryAfterSeconds: 1 });
}
