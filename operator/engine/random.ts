/** Uniform in [0, 1). Injected, so that the simulation can replay a run. */
export type Random = () => number;

/** Full jitter between half and all of an exponential delay: spreads retries, never retries at once. */
export function jitteredBackoffMs(attempt: number, baseMs: number, limitMs: number, random: Random): number {
  const ceiling = Math.min(limitMs, baseMs * 2 ** Math.min(attempt, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}
