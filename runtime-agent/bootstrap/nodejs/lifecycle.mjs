import { crypto } from './builtins.mjs';
import { Date } from './globals.mjs';

/** @import { AgentState } from '@warmpool/protocol/runtime-agent-api.ts' */

/** Where this process is in its one life, numbered so that observers can order what they saw. */
export class Lifecycle {
  /** @type {AgentState} */
  #state = 'booting';
  #seq = 0;
  epoch = crypto.randomUUID();
  sinceUnixMs = Date.now();
  /** @type {{ code: string, message: string } | undefined} */
  lastError;
  /** @type {(state: AgentState) => void} */
  #onChange;

  /** @param {(state: AgentState) => void} [onChange] */
  constructor(onChange = () => {}) {
    this.#onChange = onChange;
  }

  get state() {
    return this.#state;
  }

  get seq() {
    return this.#seq;
  }

  /** Something that `/v1/status` shows has changed. */
  touch() {
    this.#seq++;
  }

  /** `failed` and `terminated` are final. @param {AgentState} state */
  moveTo(state) {
    if (this.#state === state || this.#state === 'terminated') return;
    if (this.#state === 'failed' && state !== 'terminated') return;
    this.#state = state;
    this.sinceUnixMs = Date.now();
    this.#seq++;
    this.#onChange(state);
  }

  isServing() {
    return this.#state === 'ready' || this.#state === 'busy';
  }

  isEnding() {
    return this.#state === 'draining' || this.#state === 'terminated' || this.#state === 'failed';
  }
}
