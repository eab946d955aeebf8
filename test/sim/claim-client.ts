import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { sleep, type Clock } from '@warmpool/operator/engine/clock.ts';
import { ClaimError } from '@warmpool/operator/errors.ts';
import type { Operator } from '@warmpool/operator/operator.ts';
import type { Prng } from './prng.ts';
import { ConnectionLost, type Replica } from './replica.ts';
import type { Trace } from './trace.ts';
import type { ClaimFacts, Truth } from './truth.ts';
import type { Violate } from './violation.ts';

export interface ClaimClientDeps {
  clock: Clock;
  random: Prng;
  replicas: readonly Replica[];
  truth: Truth;
  trace: Trace;
  violate: Violate;
  /** When clients stop hoping. */
  isPatient(): boolean;
  /** The operator has just said that this claim is ready. */
  onSaidReady(facts: ClaimFacts, claim: Claim): void;
  onAnswered(facts: ClaimFacts, claim: Claim): void;
}

export interface ClaimPlan {
  startMs: number;
  /** The same request twice at once, to replicas of its own choosing. */
  isDoubled: boolean;
  /** The first request is given up after this long. */
  cancelAfterMs: number | undefined;
  retriesAfterCancel: boolean;
  /** The same id is asked for again this often while the instance is held. */
  asksAgain: number;
  holdMs: number;
  end: 'release' | 'keepWarm' | 'none';
}

const NET_MS = 5;
const REQUEST_LIMIT_MS = 45_000;
/** After these the same id cannot succeed any more. */
const FINAL = new Set(['UserCodeError', 'InitTimeout', 'InstanceLost', 'ClaimReleased']);

/** One client's life with one claim id: it asks, retries, perhaps cancels, holds, and lets go. */
export class ClaimClient {
  readonly #deps: ClaimClientDeps;
  readonly #facts: ClaimFacts;
  readonly #plan: ClaimPlan;
  readonly #name: string;

  constructor(deps: ClaimClientDeps, facts: ClaimFacts, plan: ClaimPlan) {
    this.#deps = deps;
    this.#facts = facts;
    this.#plan = plan;
    this.#name = facts.request.claimId;
  }

  async live(): Promise<void> {
    const { clock } = this.#deps;
    const plan = this.#plan;
    await sleep(clock, plan.startMs);
    if (plan.cancelAfterMs !== undefined) {
      const isAnswered = await this.#askAndGiveUp(plan.cancelAfterMs);
      if (!isAnswered && !plan.retriesAfterCancel) return this.#end('abandoned');
    }
    const outcomes = await Promise.all([
      this.#askUntilAnswered(),
      ...(plan.isDoubled ? [this.#askUntilAnswered()] : []),
    ]);
    const outcome = outcomes[0];
    if (outcome !== 'ready') return this.#end(outcome ?? 'failed');
    for (let round = 0; round < plan.asksAgain; round++) {
      await sleep(clock, plan.holdMs / (plan.asksAgain + 1));
      await this.#askUntilAnswered();
    }
    await sleep(clock, plan.holdMs / (plan.asksAgain + 1));
    if (plan.end !== 'none') await this.#release(plan.end === 'keepWarm');
    this.#end('ready');
  }

  #end(outcome: NonNullable<ClaimFacts['outcome']>): void {
    this.#deps.trace.add(this.#name, `is over: ${outcome}`);
    this.#facts.outcome = outcome;
  }

  async #askAndGiveUp(afterMs: number): Promise<boolean> {
    const { clock, trace } = this.#deps;
    const cancel = new AbortController();
    const stopTimer = clock.after(afterMs, () => {
      trace.add(this.#name, 'gives up waiting');
      cancel.abort();
    });
    try {
      await this.#ask(cancel.signal);
      return true;
    } catch {
      return false;
    } finally {
      stopTimer();
    }
  }

  async #askUntilAnswered(): Promise<NonNullable<ClaimFacts['outcome']>> {
    const { clock, random, violate } = this.#deps;
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#ask(undefined);
        return 'ready';
      } catch (error) {
        if (error instanceof ClaimError) {
          if (error.code === 'Internal') violate('no internal errors', `${this.#name}: ${error.message}`);
          if (error.code === 'ClaimConflict') violate('I3', `${this.#name} was sent twice alike: ${error.message}`);
          if (FINAL.has(error.code)) return error.statusCode === 410 ? 'failed' : 'refused';
        } else if (!(error instanceof ConnectionLost)) {
          throw error;
        }
        if (!this.#deps.isPatient()) {
          violate('liveness', `${this.#name} got no instance although it kept asking; last: ${String(error)}`);
          return 'failed';
        }
        await sleep(clock, Math.min(4_000, 100 * 2 ** attempt) * (0.5 + random.next()));
      }
    }
  }

  async #ask(cancel: AbortSignal | undefined): Promise<Claim> {
    const { truth, trace } = this.#deps;
    const { namespace, pool, request } = this.#facts;
    const claim = await this.#request(cancel, async (operator, signal) => {
      const said = await operator.claims.claim(namespace, pool, request, signal);
      this.#deps.onSaidReady(this.#facts, said);
      return said;
    });
    trace.add(this.#name, `is answered: ${claim.state} pod ${claim.pod?.name} (${claim.source})`);
    this.#deps.onAnswered(this.#facts, claim);
    truth.answered(this.#facts, claim);
    return claim;
  }

  async #release(keepsWarm: boolean): Promise<void> {
    const { clock, random } = this.#deps;
    const { namespace, request } = this.#facts;
    const keepWarmMs = keepsWarm ? random.pick([5_000, 20_000]) : 0;
    this.#facts.wantsKeepWarm ||= keepsWarm;
    for (let attempt = 0; this.#deps.isPatient(); attempt++) {
      this.#facts.releaseSentAtMs ??= clock.monotonic();
      try {
        await this.#request(undefined, (operator) => operator.claims.release(namespace, request.claimId, keepWarmMs));
        return;
      } catch (error) {
        if (error instanceof ClaimError && error.code === 'ClaimNotFound') return;
        await sleep(clock, Math.min(4_000, 100 * 2 ** attempt) * (0.5 + random.next()));
      }
    }
  }

  /** One request to a replica of chance, there and back, and for no longer than its limit. */
  async #request<T>(
    cancel: AbortSignal | undefined,
    operation: (operator: Operator, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, random, replicas } = this.#deps;
    await sleep(clock, random.next() * NET_MS);
    const connection = new AbortController();
    const { promise: broken, reject } = Promise.withResolvers<never>();
    broken.catch(() => undefined);
    const disconnect = (): void => {
      connection.abort();
      reject(new ConnectionLost('the request was given up'));
    };
    const stopTimer = clock.after(REQUEST_LIMIT_MS, disconnect);
    if (cancel?.aborted === true) disconnect();
    cancel?.addEventListener('abort', disconnect, { once: true });
    try {
      const arrived = this.#afterNetwork(random.pick(replicas).serve(operation, connection.signal));
      arrived.catch(() => undefined);
      return await Promise.race([arrived, broken]);
    } finally {
      stopTimer();
      cancel?.removeEventListener('abort', disconnect);
    }
  }

  async #afterNetwork<T>(reply: Promise<T>): Promise<T> {
    const { clock, random } = this.#deps;
    try {
      return await reply;
    } finally {
      await sleep(clock, random.next() * NET_MS);
    }
  }
}
