import type { FastifyInstance } from 'fastify';
import type { HostLoadReply } from '@warmpool/protocol/host-agent-api.ts';
import { hostLoadRequestSchema } from '@warmpool/protocol/host-agent-api.ts';
import { hostError } from '../errors.ts';
import type { LoadService } from '../load/load-service.ts';
import { parse } from './server.ts';

export function addLoadRoutes(app: FastifyInstance, { loads }: { loads: LoadService }): void {
  app.post('/v1/load', async (request, reply): Promise<HostLoadReply> => {
    const load = parse(hostLoadRequestSchema, request.body);
    const caller = new AbortController();
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) caller.abort(hostError.clientGone());
    });
    return loads.load(load, caller.signal);
  });
}
