import { STATUS_CODES } from 'node:http';
import { describeProblems, fieldProblems, type ErrorBody } from '@warmpool/protocol/errors.ts';
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import type { z } from 'zod';
import { ClaimError, claimError } from '../errors.ts';

/** Parses what came from outside, or says which field is wrong. */
export function parse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const details = fieldProblems(result.error);
  throw claimError('InvalidRequest', `the ${what} is not valid: ${describeProblems(details)}`, { details });
}

export function errorBody(error: ClaimError): ErrorBody {
  return {
    statusCode: error.statusCode,
    code: error.code,
    error: STATUS_CODES[error.statusCode] ?? 'Error',
    message: error.message,
    ...(error.phase !== undefined && { phase: error.phase }),
    ...(error.userStack !== undefined && { stack: error.userStack }),
    ...(error.details !== undefined && { details: error.details }),
    ...(error.retryAfterSeconds !== undefined && { retryAfterSeconds: error.retryAfterSeconds }),
  };
}

/** One envelope for every refusal, fastify's own included. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    return send(reply, refusal(error, request.log));
  });
  app.setNotFoundHandler((request, reply) =>
    send(reply, claimError('NotFound', `there is nothing at ${request.method} ${request.url.split('?')[0]}`)),
  );
}

/** What is answered to a request that failed; what is our own fault is also logged. */
export function refusal(error: unknown, log: FastifyBaseLogger): ClaimError {
  const told = error instanceof ClaimError ? error : translate(error as FastifyError);
  if (told.code === 'Internal') log.error({ err: error }, 'request failed unexpectedly');
  return told;
}

/** Of the answer to a refused request. */
export function refusalHeaders({ statusCode, retryAfterSeconds }: ClaimError): Record<string, string> {
  return {
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    ...(statusCode === 401 && { 'www-authenticate': 'Bearer' }),
  };
}

function send(reply: FastifyReply, error: ClaimError): FastifyReply {
  return reply.code(error.statusCode).headers(refusalHeaders(error)).send(errorBody(error));
}

function translate(error: FastifyError): ClaimError {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return claimError('BodyTooLarge', 'the body is larger than this API takes');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return claimError('UnsupportedMediaType', 'the body must be sent as Content-Type: application/json');
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return claimError('InvalidJson', 'the body is empty; a JSON object is needed');
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return claimError('InvalidRequest', 'the body does not have the length that Content-Length says');
    default:
      if (error instanceof SyntaxError || error.code === 'FST_ERR_CTP_INVALID_JSON_BODY')
        return claimError('InvalidJson', `the body is not valid JSON: ${error.message}`);
      if (error.statusCode !== undefined && error.statusCode < 500)
        return new ClaimError('InvalidRequest', error.statusCode, error.message);
      return claimError('Internal', 'something went wrong in the operator; its log says what', { cause: error });
  }
}
