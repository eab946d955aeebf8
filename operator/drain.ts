import { sleep, type Clock } from './engine/clock.ts';
import type { Operator } from './operator.ts';

/** Claims that wait are told to come back; claims that load may end. Resolves when none is left, or after `limitMs`. */
export async function drainClaims(operator: Operator, clock: Clock, limitMs: number): Promise<void> {
  operator.inventory.stop();
  const untilMs = clock.monotonic() + limitMs;
  while (operator.claims.inFlight > 0 && clock.monotonic() < untilMs) await sleep(clock, 20);
}
