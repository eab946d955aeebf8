export interface ServeLimitOptions {
  /** Transfers to peers at once. */
  connections: number;
  /** Of all of them together; 0 is no limit. */
  bytesPerSecond: number;
}

/** A peer that would get less than this is better off elsewhere. */
const WORTHWHILE_BYTES_PER_SECOND = 1024 * 1024;

/** What this node gives to others: so much at once, and so much in a second. */
export class ServeLimits {
  readonly #options: ServeLimitOptions;
  #active = 0;
  #freeAtMs = 0;

  constructor(options: ServeLimitOptions) {
    this.#options = options;
  }

  get active(): number {
    return this.#active;
  }

  /** Undefined when it would be too much; else the way to give the place back, once. */
  enter(): (() => void) | undefined {
    const { connections, bytesPerSecond } = this.#options;
    const wanted = this.#active + 1;
    // the first is served at whatever rate there is
    const isTooSlow = bytesPerSecond > 0 && wanted > 1 && bytesPerSecond / wanted < WORTHWHILE_BYTES_PER_SECOND;
    if (wanted > connections || isTooSlow) return undefined;
    this.#active++;
    let isIn = true;
    return () => {
      if (isIn) this.#active--;
      isIn = false;
    };
  }

  /** How long to wait before these bytes are sent. */
  delayMs(bytes: number, nowMs: number): number {
    const { bytesPerSecond } = this.#options;
    if (bytesPerSecond === 0) return 0;
    const waitMs = Math.max(0, this.#freeAtMs - nowMs);
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (bytes / bytesPerSecond) * 1000;
    return waitMs;
  }
}
