import type { Server as HttpServer } from 'node:http';
import type { FastifyInstance, FastifyServerFactory, FastifyServerOptions } from 'fastify';
import { fastify } from 'fastify';
import type { Logger } from 'pino';
import type { z } from 'zod';
import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { HostAgentError, hostError, isHostError } from '../errors.ts';

export const KEEP_ALIVE_MS = 600_000;
export const REQUEST_TIMEOUT_MS = 30_000;

export interface ServerOptions {
  bodyLimitBytes: number;
}

export interface ServerDeps {
  log: Logger;
  /** For TLS; without it, plain HTTP. */
  serverFactory?: FastifyServerFactory<HttpServer> | undefined;
}

/** Fastify with this program's errors: whatever goes wrong answers one envelope, and no answer holds a stack of this program. */
export function createServer({ log, serverFactory }: ServerDeps, { bodyLimitBytes }: ServerOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: bodyLimitBytes,
    logger: false,
    // an event stream would otherwise keep the server from closing
    forceCloseConnections: true,
    return503OnClosing: false,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    ...(serverFactory === undefined ? {} : { serverFactory }),
  } satisfies FastifyServerOptions);

  app.setErrorHandler((error, request, reply) => {
    const known = refusal(error, request.routeOptions.url ?? '', { log }, bodyLimitBytes);
    void reply.code(known.status).send(known.toBody());
  });
  app.setNotFoundHandler((request, reply) => {
    const [path = ''] = request.url.split('?');
    const error = hostError.routeNotFound(request.method, path);
    void reply.code(error.status).send(error.toBody());
  });
  return app;
}

/** What is answered to a request that failed, and logged. */
export function refusal(
  error: unknown,
  route: string,
  { log }: { log: Logger },
  bodyLimitBytes: number,
): HostAgentError {
  const known = translate(error, bodyLimitBytes);
  const facts = { code: known.code, route };
  if (known.code === 'Internal') log.error({ ...facts, err: error }, 'request failed');
  else log.warn({ ...facts, message: known.message }, 'request refused');
  return known;
}

function translate(error: unknown, bodyLimitBytes: number): HostAgentError {
  if (isHostError(error)) return error;
  const { code, statusCode } = error as { code?: string; statusCode?: number };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return hostError.bodyTooLarge(bodyLimitBytes);
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return hostError.unsupportedMediaType();
  if (
    error instanceof SyntaxError ||
    code === 'FST_ERR_CTP_EMPTY_JSON_BODY' ||
    code === 'FST_ERR_CTP_INVALID_JSON_BODY'
  ) {
    return hostError.invalidJson();
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new HostAgentError('InvalidRequest', 'the request is not valid HTTP for this route');
  }
  return hostError.internal(error);
}

/** Parses at the edge; what comes out is trusted from here on. */
export function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const { data, error } = schema.safeParse(input);
  if (error !== undefined) throw hostError.invalidRequest(fieldProblems(error));
  return data;
}
