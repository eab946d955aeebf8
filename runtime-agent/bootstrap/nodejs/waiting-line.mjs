import { AgentError } from './errors.mjs';

/** @import { Active } from './invocation.mjs' */

const WAITING_REQUESTS = 100;
const WAITING_BYTES = 64 * 1024 * 1024;
const RETRY_AFTER_SECONDS = 1;

/** The requests that wait for the running one, first come first served, bounded in number and bytes. */
export class WaitingLine {
  /** @type {Active[]} */
  #line = [];
  #sizeBytes = 0;

  get length() {
    return this.#line.length;
  }

  get first() {
    return this.#line[0];
  }

  /** Throws when no one else can wait. */
  checkRoom() {
    if (this.#line.length < WAITING_REQUESTS && this.#sizeBytes <= WAITING_BYTES) return;
    throw new AgentError('QueueFull', `${this.#line.length} requests are already waiting for this instance`, {
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }

  /** @param {Active} active */
  join(active) {
    this.#line.push(active);
    this.#sizeBytes += active.call.sizeBytes;
  }

  /** @param {Active} active */
  leave(active) {
    const index = this.#line.indexOf(active);
    if (index < 0) return;
    this.#line.splice(index, 1);
    this.#sizeBytes -= active.call.sizeBytes;
  }

  /** @param {string} requestId */
  find(requestId) {
    return this.#line.find((active) => active.call.id === requestId);
  }
}
