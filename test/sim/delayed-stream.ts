import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { ReplicaGate } from './replica-gate.ts';

export interface DelayedStreamDeps {
  clock: Clock;
  gate: ReplicaGate;
  lagMs(): number;
  abortError(): Error;
  /** The reader has gone or the stream has broken: nothing more is needed from the source. */
  onClosed(): void;
}

type Step<T> = { value: T } | { end: Error | undefined };

/** Items arrive in order, each after a lag of its own: a stale cache is one that reads from here. */
export class DelayedStream<T> implements AsyncIterable<T> {
  readonly #deps: DelayedStreamDeps;
  #onWay: { dueMs: number; step: Step<T> }[] = [];
  #arrived: Step<T>[] = [];
  #lastDueMs = 0;
  #isTimerSet = false;
  #isOver = false;
  /** The reader may not know it yet. */
  #isBroken = false;
  #waiting: PromiseWithResolvers<IteratorResult<T>> | undefined;
  readonly #signal: AbortSignal;
  readonly #forgetDeath: () => void;
  readonly #onAbort = (): void => {
    this.#arrived = [];
    this.#arrive({ end: this.#deps.abortError() });
  };

  constructor(deps: DelayedStreamDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
    // Node keeps a signal of several for ever that somebody listens to, and this stream's whole world with it
    this.#forgetDeath = deps.gate.onDeath(() => signal.removeEventListener('abort', this.#onAbort));
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  push(value: T): void {
    this.#send({ value });
  }

  end(error?: Error): void {
    this.#send({ end: error });
  }

  /** The connection breaks: what is on its way is lost. */
  break(error: Error): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#onWay = [];
    this.#deps.gate.deliver(() => this.#arrive({ end: error }));
  }

  /** Nothing arrives for this long, and nobody is told. */
  stall(durationMs: number): void {
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#deps.clock.monotonic() + durationMs);
    for (const item of this.#onWay) item.dueMs = Math.max(item.dueMs, this.#lastDueMs);
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: () => this.#next(),
      return: () => {
        this.#close();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<T>> {
    this.#waiting = Promise.withResolvers();
    const { promise } = this.#waiting;
    this.#handOut();
    return promise;
  }

  #send(step: Step<T>): void {
    if (this.#isOver || this.#isBroken) return;
    this.#lastDueMs = Math.max(this.#lastDueMs, this.#deps.clock.monotonic() + this.#deps.lagMs());
    this.#onWay.push({ dueMs: this.#lastDueMs, step });
    this.#setTimer();
  }

  #setTimer(): void {
    const { clock, gate } = this.#deps;
    const [head] = this.#onWay;
    if (head === undefined || this.#isTimerSet) return;
    this.#isTimerSet = true;
    clock.after(head.dueMs - clock.monotonic(), () => {
      this.#isTimerSet = false;
      gate.deliver(() => this.#receive());
    });
  }

  #receive(): void {
    const nowMs = this.#deps.clock.monotonic();
    for (let head = this.#onWay[0]; head !== undefined && head.dueMs <= nowMs; head = this.#onWay[0]) {
      this.#onWay.shift();
      this.#arrive(head.step);
    }
    this.#setTimer();
  }

  #arrive(step: Step<T>): void {
    if (this.#isOver && 'value' in step) return;
    this.#arrived.push(step);
    this.#handOut();
  }

  #handOut(): void {
    const waiting = this.#waiting;
    const step = waiting === undefined ? undefined : this.#arrived.shift();
    if (waiting === undefined || step === undefined) {
      if (this.#isOver) waiting?.resolve({ done: true, value: undefined });
      return;
    }
    this.#waiting = undefined;
    if ('value' in step) return waiting.resolve({ done: false, value: step.value });
    this.#close();
    if (step.end === undefined) waiting.resolve({ done: true, value: undefined });
    else waiting.reject(step.end);
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onWay = [];
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#forgetDeath();
    this.#deps.onClosed();
  }
}
