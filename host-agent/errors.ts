import { STATUS_CODES } from 'node:http';
import type { ErrorBody, FieldProblem } from '@warmpool/protocol/errors.ts';
import { describeProblems } from '@warmpool/protocol/errors.ts';
import type { CodeAccess } from '@warmpool/protocol/pool-code.ts';
import { LOAD_ERROR_CODES } from '@warmpool/protocol/host-agent-api.ts';

/** Every code this program answers with: those of a load, and those of HTTP itself. */
const ERROR_STATUS = {
  ...Object.fromEntries(Object.entries(LOAD_ERROR_CODES).map(([code, { status }]) => [code, status])),
  InvalidJson: 400,
  InvalidRequest: 400,
  RouteNotFound: 404,
  BodyTooLarge: 413,
  UnsupportedMediaType: 415,
  TooManyPrefetches: 429,
  Internal: 500,
} as Readonly<Record<HostErrorCode, number>>;

export type HostErrorCode =
  | keyof typeof LOAD_ERROR_CODES
  | 'InvalidJson'
  | 'InvalidRequest'
  | 'RouteNotFound'
  | 'BodyTooLarge'
  | 'UnsupportedMediaType'
  | 'TooManyPrefetches'
  | 'Internal';

/** A Secret by reference. */
export type SecretReference = Pick<CodeAccess, 'namespace' | 'secretName'>;

interface ErrorFacts {
  cause?: unknown;
  details?: FieldProblem[];
  /** Of the user's code: where it failed and its own stack. Never this program's. */
  phase?: string;
  userStack?: string;
  /** Of a store's error: what it serves by that name now is not what was begun to be read. */
  isOtherVersion?: true;
  /** Of a store's refusal: the status it answered with. */
  storeStatus?: number;
}

export class HostAgentError extends Error {
  override readonly name = 'HostAgentError';
  readonly code: HostErrorCode;
  readonly status: number;
  readonly facts: ErrorFacts;

  constructor(code: HostErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.status = ERROR_STATUS[code];
    this.facts = facts;
  }

  toBody(): ErrorBody {
    const { details, phase, userStack } = this.facts;
    return {
      statusCode: this.status,
      code: this.code,
      error: STATUS_CODES[this.status] ?? 'Error',
      message: this.message,
      ...(phase === undefined ? {} : { phase }),
      ...(userStack === undefined ? {} : { stack: userStack }),
      ...(details === undefined ? {} : { details }),
    };
  }
}

const error = (code: HostErrorCode, message: string, facts?: ErrorFacts) => new HostAgentError(code, message, facts);

/** The table: one line for each thing that can go wrong, with the sentence that a person reads. */
export const hostError = {
  badGrant: (why: string) => error('BadGrant', `the load grant ${why}`),
  podUnknown: (podUid: string) => error('PodUnknown', `no pod ${podUid} is on this node`),
  podNotStandby: (podUid: string, why: string) => error('PodNotStandby', `pod ${podUid} cannot be loaded: ${why}`),
  podLost: (podUid: string, why: string, cause?: unknown) => error('PodLost', `pod ${podUid}: ${why}`, { cause }),
  sidecarFailed: (podUid: string, name: string, cause: Error) =>
    error('SidecarFailed', `sidecar ${name} of pod ${podUid} ${oneLine(cause.message)}`, { cause }),
  initTimeout: (podUid: string, waitedMs: number) =>
    error('InitTimeout', `the code did not finish importing: pod ${podUid} gave no answer within ${waitedMs} ms`),
  deadlineExceeded: (doing: string) => error('DeadlineExceeded', `the deadline passed while ${doing}`),
  draining: () => error('Draining', 'this host-agent is shutting down and takes no more loads'),
  clientGone: () => error('DeadlineExceeded', 'the caller closed the connection before the load was sent'),

  objectNotFound: (what: string) => error('ObjectNotFound', `${what} does not exist`),
  sourceNotAllowed: (what: string, why: string) => error('SourceNotAllowed', `${what} is not allowed: ${why}`),
  storeRefused: (what: string, status: number) =>
    error('StoreRefused', `${what} was refused with status ${status}: check the store's credentials and policy`, {
      storeStatus: status,
    }),
  storeRefusedBecause: (what: string, why: string) => error('StoreRefused', `${what} cannot be used: ${why}`),
  credentialsMissing: ({ namespace, secretName }: SecretReference, why: string) =>
    error('CredentialsMissing', `Secret ${secretName} in namespace ${namespace} ${why}`),
  credentialsUnavailable: ({ namespace, secretName }: SecretReference, why: string, cause?: unknown) =>
    error('CredentialsUnavailable', `Secret ${secretName} in namespace ${namespace} could not be read: ${why}`, {
      cause,
    }),
  storeUnreachable: (endpoint: string, why: string, cause?: unknown) =>
    error('StoreUnreachable', `the store at ${endpoint} cannot be used: ${why}`, { cause }),
  objectChanged: (endpoint: string) =>
    error('StoreUnreachable', `the store at ${endpoint} cannot be used: the object changed while it was read`, {
      isOtherVersion: true,
    }),

  digestMismatch: (expected: string, actual: string) =>
    error('DigestMismatch', `the code has digest ${actual}, but the claim says ${expected}`),
  badArchive: (why: string, cause?: unknown) => error('BadArchive', `the archive ${why}`, { cause }),
  badEntry: (entry: string, why: string) => error('BadArchive', `the archive's entry ${quoted(entry)} ${why}`),
  linkOut: (entry: string, target: string) =>
    hostError.badEntry(entry, `is a link that may lead out of the archive, to ${quoted(target)}`),
  archiveTooLarge: (why: string) => error('ArchiveTooLarge', `the archive ${why}`),
  cacheFull: (why: string, cause?: unknown) => error('CacheFull', `the code cache is full: ${why}`, { cause }),

  tooManyPrefetches: (limit: number) =>
    error('TooManyPrefetches', `${limit} prefetches are waiting on this node already: ask again when some have ended`),

  invalidRequest: (details: FieldProblem[]) => error('InvalidRequest', describeProblems(details), { details }),
  invalidJson: () => error('InvalidJson', 'the body is not valid JSON'),
  routeNotFound: (method: string, path: string) => error('RouteNotFound', `there is no ${method} ${path}`),
  bodyTooLarge: (limitBytes: number) => error('BodyTooLarge', `the body is larger than ${limitBytes} bytes`),
  unsupportedMediaType: () => error('UnsupportedMediaType', 'the body must be application/json'),
  internal: (cause: unknown) => error('Internal', 'the host-agent failed; its log says why', { cause }),
};

/** Words of a program that is not ours: bounded, and without what could forge a line of a log. */
function oneLine(words: string): string {
  return words
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/\p{Cc}/gu, '')
    .slice(0, 300)
    .trim();
}

/** Names come from hostile archives: bounded, and with control characters spelled out. */
function quoted(entry: string): string {
  return JSON.stringify(entry.length > 200 ? `${entry.slice(0, 200)}…` : entry);
}

export function isHostError(error: unknown, code?: HostErrorCode): error is HostAgentError {
  return error instanceof HostAgentError && (code === undefined || error.code === code);
}
