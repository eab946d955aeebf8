import { Worker } from 'node:worker_threads';
import { Atomics, BigInt, Buffer, clearTimeout, Math, setTimeout, String } from './globals.mjs';

/** @import { AgentState } from '@warmpool/protocol/runtime-agent-api.ts' */

/** The words of the shared memory that main thread and watchdog thread have in common. */
export const SHARED_BYTES = 16 + 128;

/**
 * A thread that keeps answering, and keeps deadlines, while user code blocks the main thread. It costs about 10 MB, so a
 * standby process has none: it is started some time after the load (docs/decisions/0003), off the way of the first request.
 */
export class Watchdog {
  isUp = false;
  #shared = new SharedArrayBuffer(SHARED_BYTES);
  #deadline = new BigInt64Array(this.#shared, 0, 1);
  #idLength = new Int32Array(this.#shared, 8, 1);
  #state = new Int32Array(this.#shared, 12, 1);
  #id = Buffer.from(this.#shared, 16);
  #cancelStart = () => {};
  #facts;

  /** @param {{ socketPath: string, terminationPath: string, epoch: string, diesWithParent: boolean }} facts */
  constructor(facts) {
    this.#facts = facts;
  }

  /** @param {number} delayMs */
  startLater(delayMs) {
    const timer = setTimeout(() => this.#start(), delayMs).unref();
    this.#cancelStart = () => clearTimeout(timer);
  }

  cancelStart() {
    this.#cancelStart();
  }

  #start() {
    const worker = new Worker(new URL('watchdog-thread.mjs', import.meta.url), {
      workerData: { ...this.#facts, shared: this.#shared, pid: process.pid },
      env: {},
      execArgv: [],
      name: 'watchdog',
    });
    worker.unref();
    worker.once('message', () => {
      this.isUp = true;
    });
    worker.once('error', (error) => {
      this.isUp = false;
      process.stderr.write(`the watchdog thread ended: ${String(error)}\n`);
    });
  }

  /** @param {string} requestId @param {number} deadlineUnixMs */
  watch(requestId, deadlineUnixMs) {
    this.#idLength[0] = this.#id.write(requestId, 'latin1');
    Atomics.store(this.#deadline, 0, BigInt(Math.ceil(deadlineUnixMs)));
  }

  clear() {
    Atomics.store(this.#deadline, 0, 0n);
  }

  /** @param {AgentState} state */
  showState(state) {
    Atomics.store(this.#state, 0, STATES.indexOf(state));
  }
}

/** @type {AgentState[]} */
export const STATES = ['booting', 'standby', 'loading', 'ready', 'busy', 'draining', 'terminated', 'failed'];
