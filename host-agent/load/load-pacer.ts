/**
 * Loads start in the order of their arrival, a few at a time. Twenty processes that import at once on two cores are all ready at the
 * end; one after the other, half of them are ready at half time. A load keeps its turn for `holdMs` at most, so that an import that
 * waits for something does not hold up the others.
 */
export class LoadPacer {
  readonly #holdMs: number;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  constructor(turns: number, holdMs: number) {
    this.#free = turns;
    this.#holdMs = holdMs;
  }

  async run<T>(load: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    let isHeld = true;
    const release = (): void => {
      if (!isHeld) return;
      isHeld = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
    const timer = setTimeout(release, this.#holdMs);
    try {
      return await load();
    } finally {
      clearTimeout(timer);
      release();
    }
  }
}
