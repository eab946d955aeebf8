import { Promise, setImmediate, setTimeout } from './globals.mjs';

/**
 * @import { Server, ServerResponse } from 'node:http'
 * @import { TerminationReason } from './termination.mjs'
 */

const ANSWERS_MS = 1_000;

/** Knows the answers that are still on their way out. */
export class OpenAnswers {
  #open = 0;
  /** @type {(() => void)[]} */
  #onEmpty = [];

  /** @param {Server} server */
  track(server) {
    server.prependListener('request', (_, /** @type {ServerResponse} */ response) => {
      response.once('close', this.begin());
    });
  }

  /** An answer is owed; the returned function says that it is sent, or that nobody reads it any more. */
  begin() {
    let isOwed = true;
    this.#open++;
    return () => {
      if (!isOwed) return;
      isOwed = false;
      if (--this.#open === 0) for (const tell of this.#onEmpty.splice(0)) tell();
    };
  }

  /** Resolves when all are sent, or a client has been too slow. @returns {Promise<void>} */
  sent() {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty.push(resolve);
      setTimeout(resolve, ANSWERS_MS);
    });
  }
}

/**
 * @typedef {object} EndingDeps
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./termination.mjs').TerminationFile} termination
 * @property {OpenAnswers} answers
 * @property {(exitCode: number) => void} endProcess
 * @property {(message: string) => void} failRequests
 * @property {() => Promise<void>} whenIdle
 */

/** The ways a process ends: drained, or discarded because it cannot be trusted any more. */
export class Ending {
  #deps;
  #isEnding = false;

  /** @param {EndingDeps} deps */
  constructor(deps) {
    this.#deps = deps;
  }

  /** @param {TerminationReason} reason @param {string} message @param {string} [requestId] */
  discard(reason, message, requestId) {
    const { lifecycle, termination, failRequests } = this.#deps;
    if (this.#isEnding) return;
    this.#isEnding = true;
    lifecycle.lastError = { code: reason, message };
    lifecycle.moveTo('failed');
    termination.write(reason, message, requestId);
    failRequests(message);
    void this.#endAfterAnswers(1);
  }

  /** No new requests; the process ends when the others have. @param {number} graceMs @param {string} why */
  async drain(graceMs, why) {
    const { lifecycle, whenIdle } = this.#deps;
    if (lifecycle.isEnding()) return;
    lifecycle.moveTo('draining');
    const isIdle = await Promise.race([
      whenIdle().then(() => true),
      new Promise((resolve) => setTimeout(() => resolve(false), graceMs)),
    ]);
    if (isIdle !== true) return this.discard('Killed', `a request was still running ${graceMs} ms after ${why}`);
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#endAfterAnswers(0);
  }

  /** @param {number} exitCode */
  async #endAfterAnswers(exitCode) {
    const { lifecycle, answers, endProcess } = this.#deps;
    // answers to what failed a moment ago are written in the turns that follow
    await new Promise((resolve) => setImmediate(resolve));
    await answers.sent();
    lifecycle.moveTo('terminated');
    endProcess(exitCode);
  }
}
