import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../clock.ts';
import type { ServeLimits } from '../core/serve-limits.ts';
import type { Artefact, ArtefactStore } from './artefact-store.ts';

const CODE = /^\/v1\/code\/([0-9a-f]{64}(?:-[0-9a-f]{32})?)$/;
const REST = /^bytes=(\d{1,15})-$/;
/** Nothing went through for this long: whoever asked is gone, or has gone elsewhere. */
const IDLE_LIMIT_MS = 10_000;
/**
 * Nodes that need the same code at the same time are sent to each other before all of them have heard of it. What is lost by waiting for
 * what never comes is less than what a read of the store more costs everybody.
 */
const EXPECT_MS = 200;

export type ServedOutcome = 'served' | 'absent' | 'busy' | 'broke_off';

export interface PeerServerDeps {
  clock: Clock;
  artefacts: Pick<ArtefactStore, 'findSoon'>;
  limits: ServeLimits;
  onServed: (outcome: ServedOutcome, bytes: number) => void;
}

/** `GET /v1/code/<sha256>[-<owner>]`: the bytes with that digest, of that owner, whole or from a byte on, also while they arrive. */
export function servePeers(deps: PeerServerDeps): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const hex = CODE.exec(request.url ?? '')?.[1];
    if (request.method !== 'GET' || hex === undefined) return void response.writeHead(404).end();
    const fromByte = Number(REST.exec(request.headers.range ?? '')?.[1] ?? 0);
    void answer(deps, `sha256:${hex}`, fromByte, response);
  };
}

/** Never rejects. */
async function answer(deps: PeerServerDeps, id: string, fromByte: number, response: ServerResponse): Promise<void> {
  const artefact = await deps.artefacts.findSoon(id, EXPECT_MS);
  if (artefact === undefined || fromByte > (artefact.sizeBytes ?? fromByte)) {
    deps.onServed('absent', 0);
    return void response.writeHead(404).end();
  }
  const leave = deps.limits.enter();
  if (leave === undefined) {
    deps.onServed('busy', 0);
    return void response.writeHead(429, { 'retry-after': '1' }).end();
  }
  await send(deps, artefact, fromByte, response).finally(leave);
}

/** Never rejects. */
async function send(
  { clock, limits, onServed }: PeerServerDeps,
  { sizeBytes, read }: Artefact,
  fromByte: number,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the peer is gone')));
  response.setTimeout(IDLE_LIMIT_MS, () => response.destroy());
  response.on('error', () => response.destroy());
  let sentBytes = 0;
  try {
    const headers = sizeBytes === undefined ? {} : { 'content-length': sizeBytes - fromByte };
    response.writeHead(fromByte === 0 ? 200 : 206, { 'content-type': 'application/octet-stream', ...headers });
    // the answer says that there will be bytes, perhaps before there are any
    response.flushHeaders();
    for await (const chunk of read(fromByte, gone.signal)) {
      const delayMs = limits.delayMs(chunk.length, clock.monotonic());
      if (delayMs > 1) await clock.sleep(delayMs, gone.signal);
      if (!response.write(chunk)) await once(response, 'drain', { signal: gone.signal });
      sentBytes += chunk.length;
    }
    response.end();
    onServed('served', sentBytes);
  } catch {
    response.destroy();
    onServed('broke_off', sentBytes);
  }
}
