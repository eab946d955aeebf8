import { crypto } from './builtins.mjs';
import { Script } from 'node:vm';
import { Error, Math, Object } from './globals.mjs';

/** The synchronous part of a call did not end in time and was cut off. */
export class BlockedError extends Error {}

/**
 * Cuts off synchronous code that does not come to an end. It costs no memory while nothing runs: V8 watches from a thread
 * that lives as long as the call. It cannot see what runs after the first `await`; that is the watchdog thread's part.
 */
export class BlockGuard {
  #name = `pending ${crypto.randomUUID()}`;
  // looks nothing up that user code may have replaced
  #script = new Script(
    `(() => { const call = globalThis['${this.#name}']; delete globalThis['${this.#name}']; return call(); })()`,
    { filename: 'node:vm/guard' },
  );

  /** @template T @param {() => T} call @param {number} timeoutMs @returns {T} */
  run(call, timeoutMs) {
    // the script takes the call and removes the property before any of the user's code runs
    Object.defineProperty(globalThis, this.#name, { value: call, configurable: true });
    try {
      return this.#script.runInThisContext({ timeout: Math.max(1, Math.ceil(timeoutMs)) });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error)?.code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') {
        throw new BlockedError(`blocked for more than ${Math.ceil(timeoutMs)} ms`);
      }
      throw error;
    }
  }
}
