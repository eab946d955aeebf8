import { http } from './builtins.mjs';
import { Error, Object, String } from './globals.mjs';

/**
 * @import { ErrorBody, FieldProblem } from '@warmpool/protocol/errors.ts'
 */

/** Every error that the agent answers: its stable code and its status. */
const STATUS_BY_CODE = Object.freeze({
  BadJson: 400,
  BadRequest: 400,
  RouteNotFound: 404,
  RequestUnknown: 404,
  MethodNotAllowed: 405,
  PodNotStandby: 409,
  RequestIdInUse: 409,
  Draining: 410,
  RuntimeMismatch: 412,
  BodyTooLarge: 413,
  UnsupportedMediaType: 415,
  UserCodeError: 422,
  HandlerNotFound: 422,
  NotLoaded: 425,
  QueueFull: 429,
  Internal: 500,
  ListenFailed: 500,
  UserError: 502,
  RequestKilled: 502,
  InitTimeout: 504,
  RequestTimeout: 504,
});

/** @typedef {keyof typeof STATUS_BY_CODE} ErrorCode */
/** @typedef {{ phase?: string, stack?: string, details?: FieldProblem[], retryAfterSeconds?: number, allow?: string }} ErrorFacts */

export class AgentError extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} message a sentence that names the thing
   * @param {ErrorFacts} [facts]
   */
  constructor(code, message, facts = {}) {
    super(message);
    this.code = code;
    this.statusCode = STATUS_BY_CODE[code];
    this.facts = facts;
  }

  /** @returns {ErrorBody} */
  toBody() {
    const { code, statusCode, message } = this;
    const { allow: _, ...facts } = this.facts;
    return { statusCode, code, error: http.STATUS_CODES[statusCode] ?? 'Error', message, ...facts };
  }
}

/**
 * Whatever was thrown by the agent itself, as an answer.
 * @param {unknown} thrown
 */
export function asAgentError(thrown) {
  if (thrown instanceof AgentError) return thrown;
  return new AgentError('Internal', thrown instanceof Error ? thrown.message : String(thrown));
}

export function lateError() {
  return new AgentError('RequestTimeout', 'the deadline passed before the request could start');
}

export function endingError() {
  return new AgentError('Draining', 'this instance is ending and takes no new requests');
}
