import { BlockedError } from './block-guard.mjs';
import { AgentError, endingError, lateError } from './errors.mjs';
import { encodeResult } from './event-codec.mjs';
import { RequestLog } from './request-log.mjs';
import { describeUserError } from './user-error.mjs';
import { WaitingLine } from './waiting-line.mjs';

/**
 * @import { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 * @import { EncodedResult } from './event-codec.mjs'
 * @import { RequestRecord, RequestState } from './request-log.mjs'
 * @import { TerminationReason } from './termination.mjs'
 */

/**
 * @typedef {{ method: string, path: string, query: Record<string, string>, headers: Record<string, unknown> }} HttpFacts
 * @typedef {{ id: string, event: unknown, sizeBytes: number, callerDeadlineUnixMs: number, http: HttpFacts }} Call
 * @typedef {{ handler: (event: unknown, context: unknown) => unknown, load: LoadRequest }} Bound
 * @typedef {{ result: EncodedResult, queueMs: number, handlerMs: number }} Outcome
 *
 * @typedef {object} Active a request that is queued or running
 * @property {Call} call
 * @property {RequestRecord} record
 * @property {AbortController} cancellation
 * @property {number} arrivedAt
 * @property {number} startedAt
 * @property {() => void} cancelTimer
 * @property {boolean} isKilled
 * @property {(outcome: Outcome) => void} resolve
 * @property {(error: AgentError) => void} reject
 *
 * @typedef {object} InvocationDeps
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./log-ring.mjs').LogRing} logs
 * @property {import('./log-capture.mjs').LogCapture} capture
 * @property {import('./block-guard.mjs').BlockGuard} guard
 * @property {import('./watchdog.mjs').Watchdog} watchdog
 * @property {(reason: TerminationReason, message: string, requestId?: string) => void} discard
 */

/** Calls the handler for one request at a time, in the order of their arrival. */
export class Invocations {
  requests = new RequestLog();
  executions = 0;
  /** @type {number | undefined} */
  idleSinceUnixMs;
  /** @type {Active | undefined} */
  #running;
  #waiting = new WaitingLine();
  /** @type {Bound | undefined} */
  #bound;
  /** @type {(() => void)[]} */
  #onIdle = [];
  #deps;

  /** @param {InvocationDeps} deps */
  constructor(deps) {
    this.#deps = deps;
  }

  get inFlight() {
    return this.#waiting.length + (this.#running === undefined ? 0 : 1);
  }

  /** @param {(event: unknown, context: unknown) => unknown} handler @param {LoadRequest} load */
  bind(handler, load) {
    this.#bound = { handler, load };
    this.idleSinceUnixMs = Date.now();
  }

  /** Whether a request can be taken at all; asked before its body is read. @param {string} requestId */
  admit(requestId) {
    const { lifecycle } = this.#deps;
    if (lifecycle.isEnding()) throw endingError();
    if (this.#bound === undefined || !lifecycle.isServing()) {
      throw new AgentError('NotLoaded', 'no function with a handler is loaded in this process');
    }
    this.#waiting.checkRoom();
    if (this.#active(requestId) !== undefined) {
      throw new AgentError('RequestIdInUse', `a request with the id ${requestId} is under way`);
    }
  }

  /** @param {Call} call @returns {Promise<Outcome>} */
  submit(call) {
    this.admit(call.id);
    const { promise, resolve, reject } = Promise.withResolvers();
    const isFirst = this.#running === undefined;
    /** @type {Active} */
    const active = {
      call,
      record: this.requests.open(call.id, 'queued'),
      cancellation: new AbortController(),
      arrivedAt: performance.now(),
      startedAt: 0,
      cancelTimer: () => {},
      isKilled: false,
      resolve,
      reject,
    };
    if (isFirst) this.#start(active);
    else {
      active.cancelTimer = after(this.#remainingMs(call), () => this.#expire(active));
      this.#waiting.join(active);
      this.#deps.lifecycle.touch();
    }
    return promise;
  }

  /**
   * @param {string} requestId @param {'graceful' | 'force'} mode @param {number} graceMs @param {string} reason
   * @returns {{ isUnderWay: boolean, state: RequestState }}
   */
  kill(requestId, mode, graceMs, reason) {
    const active = this.#active(requestId);
    if (active === undefined) {
      const record = this.requests.find(requestId);
      if (record === undefined) throw new AgentError('RequestUnknown', `no request ${requestId} is known here`);
      return { isUnderWay: false, state: record.state };
    }
    const words = `the request was killed${reason === '' ? '' : `: ${reason}`}`;
    const error = new AgentError('RequestKilled', words);
    if (active !== this.#running) {
      this.#waiting.leave(active);
      this.#settle(active, 'cancelled', error);
      return { isUnderWay: true, state: 'cancelled' };
    }
    active.isKilled = true;
    active.cancellation.abort(error);
    const giveUp = () => {
      if (this.#running !== active) return;
      this.#settle(active, 'cancelled', error);
      this.#deps.discard('Killed', `request ${requestId} did not stop when it was told to: ${words}`, requestId);
    };
    if (mode === 'force') setImmediate(giveUp);
    else setTimeout(giveUp, graceMs);
    return { isUnderWay: true, state: 'running' };
  }

  /** The process is about to end because of user code: whoever waits gets an answer. @param {string} message */
  failAll(message) {
    const running = this.#running;
    if (running !== undefined)
      this.#settle(running, 'failed', new AgentError('UserError', message, { phase: 'invoke' }));
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      this.#waiting.leave(first);
      this.#settle(first, 'lost', endingError());
    }
  }

  /** @returns {string | undefined} */
  get runningId() {
    return this.#running?.call.id;
  }

  /** Resolves once nothing runs or waits. @returns {Promise<void>} */
  whenIdle() {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** @param {Active} active */
  #start(active) {
    const { call, record } = active;
    const { capture, guard, lifecycle, watchdog } = this.#deps;
    const { handler, load } = /** @type {Bound} */ (this.#bound);
    active.cancelTimer();
    this.#running = active;
    const remainingMs = this.#remainingMs(call);
    if (remainingMs === 0) return this.#settle(active, 'timed_out', lateError());
    active.startedAt = performance.now();
    record.state = 'running';
    if (lifecycle.isServing()) lifecycle.moveTo('busy');
    else lifecycle.touch();
    const deadlineUnixMs = Date.now() + remainingMs;
    active.cancelTimer = after(remainingMs, () => this.#timeOut(active));
    watchdog.watch(call.id, deadlineUnixMs);
    const context = {
      requestId: call.id,
      deadlineUnixMs,
      remainingTimeMs: () => Math.max(0, deadlineUnixMs - Date.now()),
      signal: active.cancellation.signal,
      claimId: load.claimId,
      function: load.function,
      service: load.service,
      http: call.http,
    };
    const run = () => capture.run(call.id, () => handler(call.event, context));
    try {
      const returned = watchdog.isUp ? run() : guard.run(run, remainingMs);
      Promise.resolve(returned).then(
        (value) => this.#succeed(active, value),
        (error) => this.#fail(active, error),
      );
    } catch (error) {
      if (error instanceof BlockedError) this.#timeOut(active);
      else this.#fail(active, error);
    }
  }

  /** @param {Active} active @param {unknown} value */
  #succeed(active, value) {
    if (active !== this.#running) return;
    if (active.isKilled) return this.#fail(active, active.cancellation.signal.reason);
    const handlerMs = performance.now() - active.startedAt;
    try {
      const result = encodeResult(value);
      this.#settle(active, 'succeeded', { result, queueMs: active.startedAt - active.arrivedAt, handlerMs });
    } catch (error) {
      this.#fail(active, error);
    }
  }

  /** @param {Active} active @param {unknown} thrown */
  #fail(active, thrown) {
    if (active !== this.#running) return;
    if (active.isKilled) {
      return this.#settle(active, 'cancelled', /** @type {AgentError} */ (active.cancellation.signal.reason));
    }
    const { message, stack } = describeUserError(thrown);
    this.#settle(
      active,
      'failed',
      new AgentError('UserError', message, { phase: 'invoke', ...(stack ? { stack } : {}) }),
    );
  }

  /** JavaScript that runs cannot be stopped for sure, so the process goes with it. @param {Active} active */
  #timeOut(active) {
    if (active !== this.#running) return;
    const words = `the request did not end within ${Math.round(performance.now() - active.startedAt)} ms`;
    const error = new AgentError('RequestTimeout', words);
    active.cancellation.abort(error);
    this.#settle(active, 'timed_out', error);
    this.#deps.discard('RequestTimeout', words, active.call.id);
  }

  /** @param {Active} active */
  #expire(active) {
    this.#waiting.leave(active);
    this.#settle(active, 'timed_out', lateError());
  }

  /** @param {Active} active @param {RequestState} state @param {Outcome | AgentError} outcome */
  #settle(active, state, outcome) {
    const { lifecycle, logs, watchdog } = this.#deps;
    const { record, call } = active;
    active.cancelTimer();
    record.state = state;
    record.endedAtUnixMs = Date.now();
    if (outcome instanceof AgentError) {
      record.exitReason = `${outcome.code}: ${outcome.message}`;
      active.reject(outcome);
    } else active.resolve(outcome);
    logs.flush(call.id);
    lifecycle.touch();
    if (active !== this.#running) return this.#tellIdle();
    this.#running = undefined;
    this.executions++;
    this.idleSinceUnixMs = Date.now();
    watchdog.clear();
    const next = lifecycle.state === 'failed' ? undefined : this.#waiting.first;
    if (next !== undefined) {
      this.#waiting.leave(next);
      // a turn of the event loop between two requests, so that answers leave and kills come in
      this.#running = next;
      setImmediate(() => (this.#running === next ? this.#start(next) : undefined));
    } else if (lifecycle.state === 'busy') lifecycle.moveTo('ready');
    this.#tellIdle();
  }

  #tellIdle() {
    if (this.inFlight > 0) return;
    for (const tell of this.#onIdle.splice(0)) tell();
  }

  /** @param {string} requestId */
  #active(requestId) {
    if (this.#running?.call.id === requestId) return this.#running;
    return this.#waiting.find(requestId);
  }

  /** @param {Call} call */
  #remainingMs(call) {
    const limitMs = this.#bound?.load.limits.requestTimeoutMs ?? 0;
    return Math.max(0, Math.min(limitMs, call.callerDeadlineUnixMs - Date.now()));
  }
}

/** @param {number} delayMs @param {() => void} task @returns {() => void} cancels it */
function after(delayMs, task) {
  const timer = setTimeout(task, delayMs);
  return () => clearTimeout(timer);
}
