import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ClaimQueries } from '../claims/claim-queries.ts';

/** A reader that is this far behind is cut off: it lists again. */
const BUFFER_LIMIT_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 15_000;

/** Server-sent events: one `claim` for each claim that is known now, `synced`, then one `claim` for each change. */
export function streamClaims(
  queries: ClaimQueries,
  pool: { namespace: string; pool: string },
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  reply.hijack();
  const out = reply.raw;
  out.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'keep-alive' });
  const send = (event: string, data: unknown): void => {
    if (out.writableLength > BUFFER_LIMIT_BYTES) out.destroy();
    else out.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const stop = queries.watch(pool.namespace, pool.pool, (claim: Claim) => send('claim', claim));
  send('synced', {});
  const heartbeat = setInterval(() => out.write(': still here\n\n'), HEARTBEAT_MS);
  request.raw.socket.once('close', () => {
    clearInterval(heartbeat);
    stop();
  });
  return reply;
}
