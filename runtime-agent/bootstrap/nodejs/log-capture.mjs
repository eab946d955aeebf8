import { AsyncLocalStorage } from 'node:async_hooks';
import { Buffer, Object, Reflect } from './globals.mjs';

/** @import { LogRing } from './log-ring.mjs' */

/** Copies what user code writes to stdout and stderr into the ring, with the request that wrote it, and passes it on. */
export class LogCapture {
  /** @type {AsyncLocalStorage<string>} */
  #requestId = new AsyncLocalStorage();
  #ring;
  /** @type {(() => void)[]} */
  #restore = [];

  /** @param {LogRing} ring */
  constructor(ring) {
    this.#ring = ring;
  }

  install() {
    this.#patch('stdout');
    this.#patch('stderr');
  }

  uninstall() {
    for (const restore of this.#restore.splice(0)) restore();
  }

  /** Of the code that runs just now. */
  get requestId() {
    return this.#requestId.getStore();
  }

  /** @template T @param {string} requestId @param {() => T} call @returns {T} */
  run(requestId, call) {
    return this.#requestId.run(requestId, call);
  }

  /** @param {'stdout' | 'stderr'} name */
  #patch(name) {
    const stream = process[name];
    const own = Object.getOwnPropertyDescriptor(stream, 'write');
    const write = stream.write.bind(stream);
    stream.write = (/** @type {string | Uint8Array} */ chunk, /** @type {never[]} */ ...rest) => {
      const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8');
      this.#ring.write(name, text, this.#requestId.getStore());
      return write(chunk, ...rest);
    };
    this.#restore.push(() => {
      if (own === undefined) Reflect.deleteProperty(stream, 'write');
      else Object.defineProperty(stream, 'write', own);
    });
  }
}
