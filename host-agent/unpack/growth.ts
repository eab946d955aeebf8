const STEP_BYTES = 2 * 1024 * 1024;

/** What a tree takes on disk, told each time it has grown by a few MiB. */
export class Growth {
  readonly #onGrown: (diskBytes: number) => void;
  #toldBytes = 0;

  constructor(onGrown: (diskBytes: number) => void) {
    this.#onGrown = onGrown;
  }

  to(diskBytes: number): void {
    if (diskBytes - this.#toldBytes < STEP_BYTES) return;
    this.#toldBytes = diskBytes;
    this.#onGrown(diskBytes);
  }
}
