import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { Prng } from './prng.ts';
import type { ReplicaGate } from './replica-gate.ts';

export interface WireDeps {
  clock: Clock;
  random: Prng;
  gate: ReplicaGate;
}

/** What becomes of one call. `lost-reply`: it took effect and the caller gets `error` for an answer, or none at all. */
export type Fate =
  | { kind: 'ok' }
  | { kind: 'refused'; error: Error }
  | { kind: 'lost-request' }
  | { kind: 'lost-reply'; error: Error | undefined };

export interface WireCall<T> {
  fate: Fate;
  latencyMs: number;
  timeoutMs: number;
  signal?: AbortSignal | undefined;
  /** Takes effect when it is called, on the other side. */
  run(): Promise<T>;
  timeoutError(): Error;
  abortError(): Error;
}

/** One call over a network from a process that may be paused or die meanwhile. */
export function callOverWire<T>({ clock, random, gate }: WireDeps, call: WireCall<T>): Promise<T> {
  const { fate, signal } = call;
  return new Promise((resolve, reject) => {
    if (gate.isDead) return;
    if (signal?.aborted === true) return reject(call.abortError());
    const thereMs = random.next() * call.latencyMs;
    const backMs = random.next() * call.latencyMs;
    const diesWithCaller = random.chance(0.5);
    let hasGivenUp = false;
    let isSettled = false;
    const settle = (action: () => void): void => {
      if (isSettled) return;
      isSettled = true;
      cancelTimeout();
      signal?.removeEventListener('abort', onAbort);
      action();
    };
    const giveUp = (error: () => Error): void => {
      if (isSettled) return;
      hasGivenUp = true;
      settle(() => reject(error()));
    };
    const onAbort = (): void => giveUp(() => call.abortError());
    const cancelTimeout = clock.after(call.timeoutMs, () => gate.deliver(() => giveUp(() => call.timeoutError())));
    signal?.addEventListener('abort', onAbort, { once: true });
    const answer = (action: () => void): void => {
      clock.after(backMs, () => gate.deliver(() => settle(action)));
    };

    clock.after(thereMs, () => {
      // who gives up closes the connection; what a dying process has sent may still arrive
      if (fate.kind === 'lost-request' || hasGivenUp || (gate.isDead && diesWithCaller)) return;
      if (fate.kind === 'refused') return answer(() => reject(fate.error));
      call.run().then(
        (value) => {
          if (fate.kind === 'ok') answer(() => resolve(value));
          else if (fate.error !== undefined) answer(() => reject(fate.error));
        },
        (error: unknown) => answer(() => reject(error)),
      );
    });
  });
}
