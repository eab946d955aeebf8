import { Date, Map } from './globals.mjs';

/** @typedef {'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'timed_out' | 'lost'} RequestState */
/**
 * @typedef {{ id: string, state: RequestState, startedAtUnixMs: number, endedAtUnixMs?: number, exitReason?: string }} RequestRecord
 */

const RECORDS = 100;

/** What `/v1/status` tells about requests: all that are under way, and the last that ended. */
export class RequestLog {
  /** Oldest first; a repeated id is the newest of its name. @type {Map<string, RequestRecord>} */
  #records = new Map();

  /** @param {string} id @param {RequestState} state */
  open(id, state) {
    /** @type {RequestRecord} */
    const record = { id, state, startedAtUnixMs: Date.now() };
    this.#records.delete(id);
    this.#records.set(id, record);
    for (const [oldId, old] of this.#records) {
      if (this.#records.size <= RECORDS) break;
      if (old.endedAtUnixMs !== undefined) this.#records.delete(oldId);
    }
    return record;
  }

  /** @param {string} id */
  find(id) {
    return this.#records.get(id);
  }

  list() {
    return [...this.#records.values()].slice(-RECORDS);
  }
}
