import type { Clock } from '../engine/clock.ts';
import type { KubeObject, Resource, Stored, WatchEvent, WatchOptions } from '../engine/kube-client.ts';
import { CallDeadline } from './call-deadline.ts';
import type { HttpExchange } from './http-exchange.ts';
import { jsonLines } from './json-lines.ts';
import { collectionPath, watchQuery } from './resource-path.ts';
import { errorFromStatus, networkError } from './status-error.ts';

/** An apiserver answers a watch at once, long before its first event. */
const OPEN_TIMEOUT_MS = 15_000;
/** A watch that is still open this long after the server should have ended it has a dead connection below it. */
const OVERTIME_MS = 5_000;

interface RawEvent {
  type: string;
  object: Stored<KubeObject> & { code?: number; reason?: string; message?: string };
}

export async function* httpWatch(
  deps: { clock: Clock; exchange: HttpExchange },
  resource: Resource,
  namespace: string | undefined,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<KubeObject>, void> {
  const what = `watch ${resource.plural}`;
  using deadline = new CallDeadline(deps.clock, what, options.timeoutSeconds * 1000 + OVERTIME_MS, options.signal);
  try {
    const path = `${collectionPath(resource, namespace)}${watchQuery(options)}`;
    const body = await open(deps, { verb: 'watch', resource, path }, deadline.signal);
    const destroy = (): void => void body.destroy(deadline.signal.reason as Error);
    // Destroying a body makes it emit what it was destroyed with; the loop below is where that is dealt with.
    body.on('error', () => undefined);
    deadline.signal.addEventListener('abort', destroy, { once: true });
    try {
      for await (const raw of jsonLines(body)) {
        if (deadline.signal.aborted) throw deadline.signal.reason;
        yield eventOf(raw as RawEvent);
      }
    } finally {
      deadline.signal.removeEventListener('abort', destroy);
      body.destroy();
    }
    if (deadline.signal.aborted) throw deadline.signal.reason;
  } catch (error) {
    throw networkError(deadline.signal.aborted ? deadline.signal.reason : error);
  }
}

async function open(
  { clock, exchange }: { clock: Clock; exchange: HttpExchange },
  call: Parameters<HttpExchange['stream']>[0],
  signal: AbortSignal,
): ReturnType<HttpExchange['stream']> {
  using deadline = new CallDeadline(clock, `watch ${call.resource.plural}`, OPEN_TIMEOUT_MS, signal);
  return await exchange.stream(call, deadline.signal);
}

function eventOf({ type, object }: RawEvent): WatchEvent<KubeObject> {
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object };
    case 'BOOKMARK':
      return { type, resourceVersion: object.metadata.resourceVersion };
    default:
      throw errorFromStatus(object, object.code ?? 500);
  }
}
