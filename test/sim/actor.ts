/** Who is writing to the cluster at this very moment: writes take effect inside the call, so one name is enough. */
export class Actor {
  #current = 'cluster';

  get current(): string {
    return this.#current;
  }

  as<T>(name: string, action: () => T): T {
    const before = this.#current;
    this.#current = name;
    try {
      return action();
    } finally {
      this.#current = before;
    }
  }
}
