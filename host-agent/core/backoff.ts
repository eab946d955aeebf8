/** Uniform in [0, 1). */
export type Random = () => number;

/** Jittered between half and all of an exponential delay: spreads retries, never retries at once. */
export function backoffMs(attempt: number, baseMs: number, limitMs: number, random: Random): number {
  const ceiling = Math.min(limitMs, baseMs * 2 ** Math.min(attempt, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}
