import type { ServerResponse } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { NodeEvent } from '@warmpool/protocol/host-agent-api.ts';
import { MAX_NODE_DIGESTS } from '@warmpool/protocol/host-agent-api.ts';
import type { CodeCache } from '../cache/code-cache.ts';
import type { NodeEvents } from '../events/node-events.ts';
import type { PodRegistry } from '../pods/pod-registry.ts';

const PING_MS = 1_500;
/** A reader that is this far behind is cut off: it comes back and gets a SNAPSHOT, which is smaller than what it missed. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

export interface EventRoutesDeps {
  node: string;
  pods: Pick<PodRegistry, 'reports'>;
  cache: Pick<CodeCache, 'digests'>;
  events: NodeEvents;
  /** Where other nodes get code from this one. */
  peerUrl: string | undefined;
}

export function addEventRoutes(app: FastifyInstance, deps: EventRoutesDeps): void {
  app.get('/v1/events', (_request, reply) => {
    reply.hijack();
    stream(reply.raw, deps);
  });
}

function stream(response: ServerResponse, { node, pods, cache, events, peerUrl }: EventRoutesDeps): void {
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  const send = (event: NodeEvent): void => {
    if (response.writableLength > MAX_BACKLOG_BYTES) response.destroy();
    else response.write(`${JSON.stringify(event)}\n`);
  };
  // nothing is awaited between the snapshot and the subscription: no event can fall in between
  const digests = cache.digests().slice(0, MAX_NODE_DIGESTS);
  send({ type: 'SNAPSHOT', node, pods: pods.reports(), digests, ...(peerUrl === undefined ? {} : { peerUrl }) });
  const unsubscribe = events.subscribe(send);
  const ping = setInterval(() => send({ type: 'PING' }), PING_MS);
  response.once('close', () => {
    unsubscribe();
    clearInterval(ping);
  });
  response.on('error', () => response.destroy());
}
