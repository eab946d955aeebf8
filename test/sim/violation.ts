export type InvariantName = 'I1' | 'I3' | 'I4' | 'I5' | 'I6' | 'I8' | 'liveness' | 'no internal errors';

/** A broken promise, in words. The world stops at the first. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariant: InvariantName;

  constructor(invariant: InvariantName, words: string) {
    super(`${invariant}: ${words}`);
    this.invariant = invariant;
  }
}

export type Violate = (invariant: InvariantName, words: string) => void;
