import type { KubeObject, Stored } from '../engine/kube-client.ts';

export interface LoggedEvent {
  /** Parsed, for comparing; the object carries the same as a string. */
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: Stored<KubeObject>;
  /** The state before, for watches whose selector it entered or left. */
  readonly previous: Stored<KubeObject> | undefined;
}

/** What happened to one kind of object, oldest first, bounded. Watches hold a position in it instead of a queue of their own. */
export class EventLog {
  #events: LoggedEvent[] = [];
  /** Position of `#events[0]`, counted since the beginning. */
  #firstPosition = 0;
  /** Everything up to this version may have been forgotten. */
  #forgottenVersion: number;
  #waiters = new Set<() => void>();
  readonly #limit: number;

  constructor(limit: number, forgottenVersion: number) {
    this.#limit = limit;
    this.#forgottenVersion = forgottenVersion;
  }

  get endPosition(): number {
    return this.#firstPosition + this.#events.length;
  }

  append(event: LoggedEvent): void {
    this.#events.push(event);
    // Dropped in bulk, so that the cost of one append stays constant.
    if (this.#events.length > this.#limit * 2) this.#forget(this.#events.length - this.#limit);
    for (const wake of this.#waiters) wake();
  }

  /** Where a watch from `version` starts, or undefined when events after it have been forgotten. */
  positionAfter(version: number): number | undefined {
    if (version < this.#forgottenVersion) return undefined;
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).version <= version) low = middle + 1;
      else high = middle;
    }
    return this.#firstPosition + low;
  }

  /** Undefined when that event has been forgotten: the reader was too slow. */
  at(position: number): LoggedEvent | undefined {
    return this.#events[position - this.#firstPosition];
  }

  /** Calls `wake` after each append until the returned function is called. */
  onAppend(wake: () => void): () => void {
    this.#waiters.add(wake);
    return () => this.#waiters.delete(wake);
  }

  compact(version: number): void {
    this.#forget(this.#events.length);
    this.#forgottenVersion = version;
  }

  #forget(count: number): void {
    if (count === 0) return;
    this.#forgottenVersion = this.#at(count - 1).version;
    this.#events = this.#events.slice(count);
    this.#firstPosition += count;
  }

  #at(index: number): LoggedEvent {
    return this.#events[index] as LoggedEvent;
  }
}
