import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import type { HostLoadReply } from '@warmpool/protocol/host-agent-api.ts';
import { hostLoadRequestSchema } from '@warmpool/protocol/host-agent-api.ts';
import { isJson, PlainFront, type PlainAnswer, type PlainRequest } from '@warmpool/wire/plain-front.ts';
import { hostError } from '../errors.ts';
import type { LoadService } from '../load/load-service.ts';
import { KEEP_ALIVE_MS, parse, refusal, REQUEST_TIMEOUT_MS, type ServerOptions } from './server.ts';

const PATH = '/v1/load';

export interface LoadRoutesDeps {
  loads: LoadService;
  log: Logger;
}

export interface LoadRoutesOptions extends ServerOptions {
  /** What the server emits for a connection that it serves. */
  connectionEvent: string;
}

/** `POST /v1/load`, twice: as a route like any other, and on the short way that an operator's connections take. */
export function addLoadRoutes(app: FastifyInstance, deps: LoadRoutesDeps, options: LoadRoutesOptions): void {
  const { bodyLimitBytes, connectionEvent } = options;
  app.post(PATH, async (request, reply): Promise<HostLoadReply> => {
    const caller = new AbortController();
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) caller.abort(hostError.clientGone());
    });
    return deps.loads.load(parse(hostLoadRequestSchema, request.body), caller.signal);
  });

  const front = new PlainFront({
    takes: (method, path) => method === 'POST' && path === PATH,
    answer: (request) => answer(deps, request, bodyLimitBytes),
    goneReason: () => hostError.clientGone(),
    bodyLimitBytes,
    keepAliveTimeoutMs: KEEP_ALIVE_MS,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
  });
  front.attach(app.server, connectionEvent);
  app.addHook('preClose', () => Promise.resolve(front.close()));
}

async function answer(deps: LoadRoutesDeps, request: PlainRequest, bodyLimitBytes: number): Promise<PlainAnswer> {
  try {
    if (!isJson(request)) throw hostError.unsupportedMediaType();
    const body: unknown = JSON.parse(request.body.toString('utf8'));
    const reply = await deps.loads.load(parse(hostLoadRequestSchema, body), request.signal);
    return { statusCode: 200, body: reply };
  } catch (error) {
    const known = refusal(error, PATH, deps, bodyLimitBytes);
    return { statusCode: known.status, body: known.toBody() };
  }
}
