import type { Clock } from '../clock.ts';

interface Timer {
  dueMs: number;
  /** Timers that are due at the same instant run in the order they were set. */
  order: number;
  task: () => void;
  isCancelled: boolean;
}

/**
 * Virtual time. Nothing happens until it is advanced; then timers run one by one in the order they are due, and everything that a
 * timer sets off (promise chains included) runs to rest before the next one.
 */
export class VirtualClock implements Clock {
  readonly #startUnixMs: number;
  readonly #heap: Timer[] = [];
  #elapsedMs = 0;
  #timersSet = 0;
  #pending = 0;

  constructor(startUnixMs: number = Date.UTC(2026, 0, 1)) {
    this.#startUnixMs = startUnixMs;
  }

  now(): number {
    return Math.floor(this.#startUnixMs + this.#elapsedMs);
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, task: () => void): () => void {
    const dueMs = this.#elapsedMs + Math.max(0, Number.isNaN(delayMs) ? 0 : delayMs);
    const timer: Timer = { dueMs, order: this.#timersSet++, task, isCancelled: false };
    push(this.#heap, timer);
    this.#pending++;
    return () => {
      if (timer.isCancelled) return;
      timer.isCancelled = true;
      this.#pending--;
    };
  }

  /** Timers that have neither run nor been cancelled. */
  get pendingTimers(): number {
    return this.#pending;
  }

  /** Until the next timer; undefined when none is set. */
  get nextDelayMs(): number | undefined {
    const next = this.#peek();
    return next && next.dueMs - this.#elapsedMs;
  }

  /** Runs every timer that falls due within `durationMs`, then stands at its end. */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#elapsedMs + durationMs;
    await settle();
    for (let next = this.#peek(); next && next.dueMs <= endMs; next = this.#peek()) {
      this.#runNext();
      await settle();
    }
    this.#elapsedMs = Math.max(this.#elapsedMs, endMs);
  }

  /** Jumps to the next timer and runs it alone; false when none is set. */
  async step(): Promise<boolean> {
    await settle();
    if (!this.#peek()) return false;
    this.#runNext();
    await settle();
    return true;
  }

  /** Steps until `isDone`; throws when virtual time passes `limitMs` or nothing is left that could make it true. */
  async runUntil(isDone: () => boolean, limitMs: number): Promise<void> {
    const endMs = this.#elapsedMs + limitMs;
    await settle();
    while (!isDone()) {
      const next = this.#peek();
      if (!next) throw new Error('nothing is scheduled any more, and the condition does not hold');
      if (next.dueMs > endMs) throw new Error(`the condition does not hold after ${limitMs} ms of virtual time`);
      this.#runNext();
      await settle();
    }
  }

  /** As a machine that sleeps: time passes and no timer has run yet. They are overdue at the next advance. */
  jump(durationMs: number): void {
    this.#elapsedMs += durationMs;
  }

  #runNext(): void {
    const timer = pop(this.#heap);
    if (!timer) return;
    timer.isCancelled = true;
    this.#pending--;
    this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
    timer.task();
  }

  #peek(): Timer | undefined {
    while (this.#heap[0]?.isCancelled) pop(this.#heap);
    return this.#heap[0];
  }
}

/** Lets every promise chain that can go on without time or I/O go on: a macrotask runs only when no microtask is left. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

function push(heap: Timer[], timer: Timer): void {
  let index = heap.push(timer) - 1;
  while (index > 0) {
    const parentIndex = (index - 1) >> 1;
    const parent = heap[parentIndex];
    if (!parent || isBefore(parent, timer)) break;
    heap[index] = parent;
    index = parentIndex;
  }
  heap[index] = timer;
}

function pop(heap: Timer[]): Timer | undefined {
  const first = heap[0];
  const last = heap.pop();
  if (!first || !last || heap.length === 0) return first;
  let index = 0;
  for (;;) {
    let childIndex = 2 * index + 1;
    let child = heap[childIndex];
    const right = heap[childIndex + 1];
    if (child && right && isBefore(right, child)) {
      child = right;
      childIndex++;
    }
    if (!child || isBefore(last, child)) break;
    heap[index] = child;
    index = childIndex;
  }
  heap[index] = last;
  return first;
}
