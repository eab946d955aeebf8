import { BlockedError } from './block-guard.mjs';
import { AgentError, endingError, lateError } from './errors.mjs';
import { encodeResult, encodeStream } from './event-codec.mjs';
import { Date, Math, performance, Promise, Set, setImmediate, setTimeout } from './globals.mjs';
import { after, openInvocation, timed } from './invocation.mjs';
import { RequestLog } from './request-log.mjs';
import { piecesOf } from './result-stream.mjs';
import { describeUserError } from './user-error.mjs';
import { WaitingLine } from './waiting-line.mjs';

/**
 * @import { LoadRequest } from '@warmpool/protocol/runtime-agent-api.ts'
 * @import { EncodedStream } from './event-codec.mjs'
 * @import { Active, Bound, Call, Outcome, StreamResult } from './invocation.mjs'
 * @import { RequestState } from './request-log.mjs'
 * @import { TerminationReason } from './termination.mjs'
 */

/**
 * @typedef {object} InvocationDeps
 * @property {import('./lifecycle.mjs').Lifecycle} lifecycle
 * @property {import('./log-ring.mjs').LogRing} logs
 * @property {import('./log-capture.mjs').LogCapture} capture
 * @property {import('./block-guard.mjs').BlockGuard} guard
 * @property {import('./watchdog.mjs').Watchdog} watchdog
 * @property {(reason: TerminationReason, message: string, requestId?: string) => void} discard
 */

/** Calls the handler for as many requests at once as the load asked for, the others in the order of their arrival. */
export class Invocations {
  requests = new RequestLog();
  executions = 0;
  /** @type {number | undefined} */
  idleSinceUnixMs;
  /** @type {Set<Active>} */
  #running = new Set();
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
    return this.#waiting.length + this.#running.size;
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
    const active = openInvocation(call, this.requests.open(call.id, 'queued'), resolve, reject);
    if (this.#running.size < this.#limit()) this.#start(active);
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
    if (!this.#running.has(active)) {
      this.#waiting.leave(active);
      this.#settle(active, 'cancelled', error);
      return { isUnderWay: true, state: 'cancelled' };
    }
    active.isKilled = true;
    active.cancellation.abort(error);
    const giveUp = () => {
      if (!this.#running.has(active)) return;
      this.#settle(active, 'cancelled', error);
      this.#deps.discard('Killed', `request ${requestId} did not stop when it was told to: ${words}`, requestId);
    };
    if (mode === 'force') setImmediate(giveUp);
    else setTimeout(giveUp, graceMs);
    return { isUnderWay: true, state: 'running' };
  }

  /** The process is about to end because of user code: whoever waits gets an answer. @param {string} message */
  failAll(message) {
    for (const running of this.#running) {
      this.#settle(running, 'failed', new AgentError('UserError', message, { phase: 'invoke' }));
    }
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      this.#waiting.leave(first);
      this.#settle(first, 'lost', endingError());
    }
  }

  /** Whose code runs just now, as far as it can be told. @returns {string | undefined} */
  get runningId() {
    const current = this.#deps.capture.requestId;
    const running = [...this.#running].map(({ call }) => call.id);
    if (current !== undefined && running.includes(current)) return current;
    return running.length === 1 ? running[0] : undefined;
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
    this.#running.add(active);
    const remainingMs = this.#remainingMs(call);
    if (remainingMs === 0) return this.#settle(active, 'timed_out', lateError());
    active.startedAt = performance.now();
    record.state = 'running';
    if (lifecycle.isServing()) lifecycle.moveTo('busy');
    else lifecycle.touch();
    const deadlineUnixMs = Date.now() + remainingMs;
    active.cancelTimer = after(remainingMs, () => this.#timeOut(active));
    active.deadlineUnixMs = deadlineUnixMs;
    this.#watchEarliest();
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
    if (!this.#running.has(active)) return;
    if (active.isKilled) return this.#fail(active, active.cancellation.signal.reason);
    try {
      const stream = encodeStream(value);
      if (stream !== undefined) return active.resolve(timed(active, this.#streamed(active, stream)));
      this.#settle(active, 'succeeded', timed(active, encodeResult(value)));
    } catch (error) {
      this.#fail(active, error);
    }
  }

  /** The request goes on until its last piece is sent. @param {Active} active @param {EncodedStream} stream @returns {StreamResult} */
  #streamed(active, { source, ...result }) {
    const pieces = piecesOf(source, {
      signal: active.cancellation.signal,
      run: (call) => this.#deps.capture.run(active.call.id, call),
      onEnd: () =>
        this.#running.has(active) && this.#settle(active, 'succeeded', timed(active, { ...result, body: '' })),
      onFail: (error) => this.#fail(active, error),
      onAbandoned: () => {
        const error = new AgentError('RequestKilled', 'the client closed the connection');
        if (this.#running.has(active)) this.#settle(active, 'cancelled', error);
      },
    });
    return { ...result, pieces };
  }

  /** @param {Active} active @param {unknown} thrown */
  #fail(active, thrown) {
    if (!this.#running.has(active)) return;
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
    if (!this.#running.has(active)) return;
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
    const { lifecycle, logs } = this.#deps;
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
    if (!this.#running.delete(active)) return this.#tellIdle();
    this.executions++;
    this.idleSinceUnixMs = Date.now();
    this.#watchEarliest();
    const next = lifecycle.state === 'failed' ? undefined : this.#waiting.first;
    if (next !== undefined) {
      this.#waiting.leave(next);
      // a turn of the event loop between two requests, so that answers leave and kills come in
      this.#running.add(next);
      setImmediate(() => (this.#running.has(next) ? this.#start(next) : undefined));
    } else if (lifecycle.state === 'busy' && this.#running.size === 0) lifecycle.moveTo('ready');
    this.#tellIdle();
  }

  /** The watchdog thread has room for one deadline. */
  #watchEarliest() {
    /** @type {Active | undefined} */
    let earliest;
    for (const active of this.#running) {
      if (active.deadlineUnixMs < (earliest?.deadlineUnixMs ?? Infinity)) earliest = active;
    }
    if (earliest === undefined) this.#deps.watchdog.clear();
    else this.#deps.watchdog.watch(earliest.call.id, earliest.deadlineUnixMs);
  }

  #limit() {
    return this.#bound?.load.limits.concurrency ?? 1;
  }

  #tellIdle() {
    if (this.inFlight > 0) return;
    for (const tell of this.#onIdle.splice(0)) tell();
  }

  /** @param {string} requestId */
  #active(requestId) {
    for (const active of this.#running) if (active.call.id === requestId) return active;
    return this.#waiting.find(requestId);
  }

  /** @param {Call} call */
  #remainingMs(call) {
    const limitMs = this.#bound?.load.limits.requestTimeoutMs ?? 0;
    return Math.max(0, Math.min(limitMs, call.callerDeadlineUnixMs - Date.now()));
  }
}
