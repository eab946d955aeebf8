import type { Clock } from '@warmpool/operator/engine/clock.ts';

const KEPT_LINES = 2_000;

/** What happened, in order. Keeps the last lines for people and a fingerprint of all of them for comparing two runs. */
export class Trace {
  readonly #clock: Clock;
  readonly #print: ((line: string) => void) | undefined;
  #lines: string[] = [];
  #hash = 2_166_136_261;
  #count = 0;

  constructor(clock: Clock, print?: (line: string) => void) {
    this.#clock = clock;
    this.#print = print;
  }

  add(who: string, what: string): void {
    const line = `${(this.#clock.monotonic() / 1000).toFixed(3).padStart(9)} ${who.padEnd(9)} ${what}`;
    this.#count++;
    for (let index = 0; index < line.length; index++) {
      this.#hash = Math.imul(this.#hash ^ line.charCodeAt(index), 16_777_619);
    }
    this.#lines.push(line);
    if (this.#lines.length > 2 * KEPT_LINES) this.#lines = this.#lines.slice(-KEPT_LINES);
    this.#print?.(line);
  }

  last(count: number): string[] {
    return this.#lines.slice(-count);
  }

  get fingerprint(): string {
    return `${this.#count}-${(this.#hash >>> 0).toString(16)}`;
  }
}
