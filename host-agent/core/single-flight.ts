interface Flight<T> {
  result: Promise<T>;
  controller: AbortController;
  waiters: number;
}

/**
 * One run for each key however many ask. Each waiter can give up on its own; the run is aborted only when nobody waits any more. A
 * failed run is forgotten at once, so that the next caller tries again.
 */
export class SingleFlight<K, T> {
  readonly #flights = new Map<K, Flight<T>>();

  get size(): number {
    return this.#flights.size;
  }

  async join(key: K, signal: AbortSignal, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#launch(key, start);
    flight.waiters++;
    const abandoned = Promise.withResolvers<never>();
    const onAbort = (): void => abandoned.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([flight.result, abandoned.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
      flight.waiters--;
      if (flight.waiters === 0 && this.#flights.get(key) === flight) {
        // whoever comes from now on must not join a run that is being aborted
        this.#flights.delete(key);
        flight.controller.abort(signal.reason ?? new Error('nobody waits for it any more'));
      }
    }
  }

  #launch(key: K, start: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const controller = new AbortController();
    const result = start(controller.signal);
    const flight: Flight<T> = { result, controller, waiters: 0 };
    this.#flights.set(key, flight);
    const land = (): void => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    result.then(land, land);
    return flight;
  }
}
