import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ClaimQueries } from '../claims/claim-queries.ts';

/** A reader that is this far behind is cut off: it lists again. */
const BUFFER_LIMIT_BYTES = 1024 * 1024;
const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events: one `claim` for each claim that is known now, `synced`, then one `claim` for each change, until the client
 * goes or `closing` aborts.
 */
export function streamClaims(
  queries: ClaimQueries,
  pool: { namespace: string; pool: string },
  request: FastifyRequest,
  reply: FastifyReply,
  closing: AbortSignal,
): FastifyReply {
  const out = reply.raw;
  const send = (event: string, data: unknown): void => {
    if (out.writableLength > BUFFER_LIMIT_BYTES) out.destroy();
    else out.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  // the watch may be refused: until it is there, the answer can still be an error like any other
  const known: Claim[] = [];
  let tell = (claim: Claim): void => void known.push(claim);
  const stop = queries.watch(pool.namespace, pool.pool, (claim) => tell(claim));
  reply.hijack();
  out.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'keep-alive' });
  tell = (claim) => send('claim', claim);
  for (const claim of known) tell(claim);
  send('synced', {});
  const heartbeat = setInterval(() => out.write(': still here\n\n'), HEARTBEAT_MS);
  const end = (): void => void out.end();
  closing.addEventListener('abort', end, { once: true });
  request.raw.socket.once('close', () => {
    closing.removeEventListener('abort', end);
    clearInterval(heartbeat);
    stop();
  });
  return reply;
}
