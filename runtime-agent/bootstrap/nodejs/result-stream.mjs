import { encodePiece } from './event-codec.mjs';
import { Promise, Symbol } from './globals.mjs';

/**
 * @typedef {AsyncIterable<unknown> | Iterable<unknown>} Source
 * @typedef {object} StreamDeps
 * @property {AbortSignal} signal stops it
 * @property {<T>(call: () => T) => T} run calls user code in the context of its request
 * @property {() => void} onEnd
 * @property {(error: unknown) => void} onFail
 * @property {() => void} onAbandoned nobody reads it any more
 */

/**
 * The pieces of a handler's stream, pulled one at a time as they are sent. Each pull runs in the context of the request, since what
 * a generator writes belongs to whoever called `next`.
 * @param {Source} source @param {StreamDeps} deps @returns {AsyncGenerator<Uint8Array | string, void>}
 */
export async function* piecesOf(source, { signal, run, onEnd, onFail, onAbandoned }) {
  const iterator = run(() =>
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator](),
  );
  const { promise: stopped, reject } = Promise.withResolvers();
  stopped.catch(() => {});
  const stop = () => reject(signal.reason);
  signal.addEventListener('abort', stop);
  let isOver = false;
  try {
    for (;;) {
      const step = /** @type {IteratorResult<unknown>} */ (
        await Promise.race([run(async () => await iterator.next()), stopped])
      );
      if (step.done === true) break;
      yield encodePiece(step.value);
    }
    isOver = true;
    onEnd();
  } catch (error) {
    isOver = true;
    onFail(error);
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    if (!isOver) {
      void run(async () => await iterator.return?.()).catch(() => {});
      onAbandoned();
    }
  }
}
