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

/** A request on its way for longer than this after its caller gave up has died with the connection. */
const ORPHAN_MS = 800;

/** One call over a network from a process that may be paused or die meanwhile. */
export function callOverWire<T>({ clock, random, gate }: WireDeps, call: WireCall<T>): Promise<T> {
  const { fate, signal } = call;
  return new Promise((resolve, reject) => {
    if (gate.isDead) return;
    if (signal?.aborted === true) return reject(call.abortError());
    const thereMs = random.next() * call.latencyMs;
    const backMs = random.next() * call.latencyMs;
    const diesWithCaller = random.chance(0.5);
    let gaveUpAtMs: number | undefined;
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
      gaveUpAtMs = clock.monotonic();
      settle(() => reject(error()));
    };
    const onAbort = (): void => giveUp(() => call.abortError());
    const cancelTimeout = clock.after(call.timeoutMs, () => gate.deliver(() => giveUp(() => call.timeoutError())));
    signal?.addEventListener('abort', onAbort, { once: true });
    const answer = (action: () => void): void => {
      clock.after(backMs, () => gate.deliver(() => settle(action)));
    };

    clock.after(thereMs, () => {
      const isOrphan = gaveUpAtMs !== undefined && (diesWithCaller || clock.monotonic() > gaveUpAtMs + ORPHAN_MS);
      if (fate.kind === 'lost-request' || isOrphan || (gate.isDead && diesWithCaller)) return;
      if (fate.kind === 'refused') return answer(() => reject(fate.error));
      call.run().then(
        (value) => {
          if (fate.kind === 'ok') answer(() => resolve(value));
          else if (fate.error !== undefined) answer(() => reject(fate.error));
        },
        (error: unknown) => answer(() => reject(error as Error)),
      );
    });
  });
}
