import type { Clock } from '../engine/clock.ts';
import type { KubeError, KubeObject, WatchEvent, WatchOptions } from '../engine/kube-client.ts';
import { aborted, badRequest, expired } from './api-errors.ts';
import type { EventLog, LoggedEvent } from './event-log.ts';
import { parseLabelSelector } from './label-selector.ts';
import type { StoredObject } from './versioned-store.ts';

export interface WatchedKind {
  readonly clock: Clock;
  readonly log: EventLog;
  readonly bookmarkIntervalMs: number;
  /** Of the whole cluster, now. */
  version(): number;
  all(): StoredObject[];
}

/** One watch of one kind: reads the log at its own pace, and ends with 410 when it was too slow for what the log remembers. */
export async function* watchStream(
  kind: WatchedKind,
  namespace: string | undefined,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<KubeObject>, void> {
  const hasLabels = parseLabelSelector(options.labelSelector);
  const matches = (object: StoredObject | undefined): boolean =>
    object !== undefined &&
    (namespace === undefined || object.metadata.namespace === namespace) &&
    hasLabels(object.metadata.labels);

  if (options.signal.aborted) throw aborted();
  const isFromNow = options.resourceVersion === '' || options.resourceVersion === '0';
  let position = isFromNow ? kind.log.endPosition : positionAfter(kind, options.resourceVersion);
  if (isFromNow) {
    for (const object of kind.all()) if (matches(object)) yield { type: 'ADDED', object };
  }

  const wakes = new WakeUps(kind, options);
  try {
    for (;;) {
      if (options.signal.aborted) throw aborted();
      while (position < kind.log.endPosition) {
        const event = kind.log.at(position);
        if (event === undefined) throw tooOld(options.resourceVersion, kind.version());
        position += 1;
        const seen = asSeen(event, matches);
        if (seen) yield seen;
        if (options.signal.aborted) throw aborted();
      }
      if (wakes.takeBookmark()) yield { type: 'BOOKMARK', resourceVersion: String(kind.version()) };
      else if (wakes.isOver) return;
      else await wakes.next();
    }
  } finally {
    wakes.stop();
  }
}

/** Why a waiting watch goes on: an event, a bookmark that is due, its time being over, the caller's abort. */
class WakeUps {
  isOver = false;
  #isBookmarkDue = false;
  #resolve: (() => void) | undefined;
  #isAwake = false;
  readonly #stops: (() => void)[];
  #cancelBookmark: () => void;

  constructor(kind: WatchedKind, { timeoutSeconds, signal }: WatchOptions) {
    const wake = (): void => {
      this.#isAwake = true;
      this.#resolve?.();
    };
    const bookmark = (): void => {
      this.#isBookmarkDue = true;
      this.#cancelBookmark = kind.clock.after(kind.bookmarkIntervalMs, bookmark);
      wake();
    };
    this.#cancelBookmark = kind.clock.after(kind.bookmarkIntervalMs, bookmark);
    const end = (): void => {
      // The last bookmark lets the next watch start where this one ended.
      this.#isBookmarkDue = true;
      this.isOver = true;
      wake();
    };
    signal.addEventListener('abort', wake, { once: true });
    this.#stops = [
      kind.log.onAppend(wake),
      kind.clock.after(timeoutSeconds * 1000, end),
      () => signal.removeEventListener('abort', wake),
    ];
  }

  takeBookmark(): boolean {
    const isDue = this.#isBookmarkDue;
    this.#isBookmarkDue = false;
    return isDue;
  }

  async next(): Promise<void> {
    if (!this.#isAwake) await new Promise<void>((resolve) => (this.#resolve = resolve));
    this.#isAwake = false;
    this.#resolve = undefined;
  }

  stop(): void {
    this.#cancelBookmark();
    for (const stop of this.#stops) stop();
  }
}

function positionAfter(kind: WatchedKind, resourceVersion: string): number {
  const version = Number(resourceVersion);
  if (!Number.isInteger(version) || version < 0)
    throw badRequest(`Invalid value: "${resourceVersion}": resourceVersion`);
  const position = kind.log.positionAfter(version);
  if (position === undefined) throw tooOld(resourceVersion, kind.version());
  return position;
}

function tooOld(from: string, current: number): KubeError {
  return expired(`too old resource version: ${from} (${current})`);
}

/** An object that enters the selector is new to this watch; one that leaves it is gone, shown as it last matched. */
function asSeen(
  event: LoggedEvent,
  matches: (object: StoredObject | undefined) => boolean,
): WatchEvent<KubeObject> | undefined {
  const { type, object, previous } = event;
  const did = matches(previous);
  if (type === 'DELETED') return did ? { type, object: lastSeen(event) } : undefined;
  const does = matches(object);
  if (does) return { type: did ? 'MODIFIED' : 'ADDED', object };
  return did ? { type: 'DELETED', object: lastSeen(event) } : undefined;
}

function lastSeen({ object, previous }: LoggedEvent): StoredObject {
  const { resourceVersion } = object.metadata;
  const last = previous ?? object;
  return Object.freeze({ ...last, metadata: Object.freeze({ ...last.metadata, resourceVersion }) });
}
