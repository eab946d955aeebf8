/** When certificates are made and replaced: data in, decision out. */

export interface Lifetime {
  notBeforeUnixMs: number;
  notAfterUnixMs: number;
}

const DAY_MS = 24 * 60 * 60_000;
/** Long before it ends, so that an operator that is away for months comes back to a working cluster. */
export const AUTHORITY_LIFETIME_MS = 365 * DAY_MS;
/** An operator that is away for a third of it does no harm. */
export const LEAF_LIFETIME_MS = 30 * DAY_MS;
/** Two clocks may differ by this much. */
export const BACKDATED_MS = 60 * 60_000;
/** So long every host-agent has had the next authority among those it trusts before anything is signed by it. */
const KNOWN_FOR_MS = DAY_MS;

export type AuthorityStep =
  /** None is there, or it has ended: start anew. */
  | 'create'
  /** Make the next one and let everybody trust it. */
  | 'prepare'
  /** The next one signs from now on; the old one stays trusted to its end. */
  | 'promote'
  | 'keep';

export function planAuthority(
  current: Lifetime | undefined,
  next: Lifetime | undefined,
  nowUnixMs: number,
): AuthorityStep {
  if (current === undefined || nowUnixMs >= current.notAfterUnixMs) return 'create';
  if (next === undefined) return isPast(current, 1 / 2, nowUnixMs) ? 'prepare' : 'keep';
  const isKnown = nowUnixMs >= next.notBeforeUnixMs + BACKDATED_MS + KNOWN_FOR_MS;
  return isKnown && isPast(current, 3 / 4, nowUnixMs) ? 'promote' : 'keep';
}

/** A certificate of this authority is replaced at two thirds of its life. */
export function isLeafDue(leaf: Lifetime | undefined, nowUnixMs: number): boolean {
  return leaf === undefined || isPast(leaf, 2 / 3, nowUnixMs);
}

function isPast({ notBeforeUnixMs, notAfterUnixMs }: Lifetime, share: number, nowUnixMs: number): boolean {
  return nowUnixMs >= notBeforeUnixMs + (notAfterUnixMs - notBeforeUnixMs) * share;
}
