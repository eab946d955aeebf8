import type { Claim, ClaimRequest, ClaimTimings } from '@warmpool/protocol/claim-api.ts';
import type { Pod } from '../core/resources.ts';
import { poolKey } from '../core/pod-view.ts';
import type { Clock } from '../engine/clock.ts';
import type { OwnerReference } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import { ClaimError, claimError, notLeader } from '../errors.ts';
import { endRecovery, newEntry, type ClaimLedger, type LedgerEntry } from './claim-ledger.ts';
import type { ClaimRun } from './claim-run.ts';
import { privateFingerprint, publicFingerprint } from './fingerprint.ts';
import type { IdleReuse } from './idle-reuse.ts';
import type { Retirement } from './retirement.ts';

export interface ClaimServiceDeps {
  clock: Clock;
  ledger: ClaimLedger;
  pods: ObjectStore<Pod>;
  idle: IdleReuse;
  retirement: Retirement;
  /** Steps 3 to 8. */
  run: ClaimRun;
  /** The term while this process leads and has a complete view; `undefined` otherwise. */
  servingTerm: () => number | undefined;
  /** Key for private fingerprints: random, this process only. */
  processKey: string;
  observe: (sample: ClaimSample) => void;
  log: Log;
}

export interface ClaimSample {
  pool: string;
  outcome: 'standby' | 'reused' | 'cold' | 'user-error' | 'empty' | 'error' | 'abandoned';
  timings: ClaimTimings | undefined;
}

/** How long an ended claim is remembered: a late retry gets the same word, not a second instance. */
const RELEASED_KEEP_MS = 10 * 60_000;
const USER_ERROR_KEEP_MS = 60_000;
/** A host-agent that could not be heard for a whole deadline will hardly be back at once. */
const RECOVERY_RETRY_SECONDS = 5;
/** How long an instance that nobody was answered with waits for a retry of its claim. */
const ABANDON_GRACE_MS = 10_000;

/** What can be done with claims: the public face of the claim path, whose inside is `claim-run.ts`. */
export class ClaimService {
  readonly #deps: ClaimServiceDeps;
  #inFlight = 0;

  constructor(deps: ClaimServiceDeps) {
    this.#deps = deps;
  }

  /** Claims that wait or load now. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * One ready instance for this request. Sent again with the same claim id, it gives the same answer. `signal` is the caller's: when
   * the last caller of a claim is gone, the claim stops waiting, and an instance that still comes is kept for a retry for
   * a moment and then deleted.
   *
   * @throws ClaimError with a stable code; an error of the user's code carries its phase and stack.
   */
  async claim(
    namespace: string,
    poolName: string,
    request: ClaimRequest,
    signal: AbortSignal,
    owner?: OwnerReference,
  ): Promise<Claim> {
    const arrivedMs = this.#deps.clock.monotonic();
    for (;;) {
      const term = this.#requireServing();
      const known = this.#deps.ledger.get(namespace, request.claimId);
      if (known === undefined || known.mayStartAnew)
        return this.#join(this.#start(namespace, poolName, request, term, arrivedMs, owner), signal);
      const replay = await this.#replay(known, poolName, request, signal);
      if (replay !== undefined) return replay;
    }
  }

  /** 2. Seen before: the same answer. `undefined` when what was taken over from another process turned out to be lost. */
  async #replay(
    known: LedgerEntry,
    poolName: string,
    request: ClaimRequest,
    signal: AbortSignal,
  ): Promise<Claim | undefined> {
    const fingerprint = publicFingerprint(request);
    const isSame =
      known.pool === poolName &&
      known.fingerprint === fingerprint &&
      (known.privateFingerprint === undefined ||
        known.privateFingerprint === privateFingerprint(request, fingerprint, this.#deps.processKey));
    if (!isSame)
      throw claimError('ClaimConflict', `claim id ${request.claimId} was used before for a claim with another body`);
    if (known.claim.state === 'released')
      throw claimError('ClaimReleased', `claim ${request.claimId} was released; use a new claim id`);
    if (known.claim.state === 'failed' && known.error !== undefined) throw known.error;
    return known.recovery === undefined ? this.#join(known, signal) : this.#joinRecovery(known, request, signal);
  }

  /** Until its node says what became of it, as long as the request's own deadline lets it. */
  async #joinRecovery(entry: LedgerEntry, request: ClaimRequest, signal: AbortSignal): Promise<Claim | undefined> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const cancelTimer = this.#deps.clock.after(request.deadlineMs, () => {
      const words = `claim ${entry.claimId} has an instance on node ${entry.claim.pod?.node ?? ''}, whose host-agent cannot be heard`;
      const message = `${words} since another operator has taken over; send it again`;
      reject(claimError('HostAgentUnavailable', message, { retryAfterSeconds: RECOVERY_RETRY_SECONDS }));
    });
    try {
      return await Promise.race([this.#join(entry, signal), late]);
    } catch (error) {
      if (signal.aborted || !entry.mayStartAnew) throw error;
      return undefined;
    } finally {
      cancelTimer();
    }
  }

  #start(
    namespace: string,
    pool: string,
    request: ClaimRequest,
    term: number,
    arrivedMs: number,
    owner: OwnerReference | undefined,
  ): LedgerEntry {
    const { clock, ledger, observe, processKey } = this.#deps;
    const { promise: outcome, resolve, reject } = Promise.withResolvers<Claim>();
    const { claimId, function: fn } = request;
    const fingerprint = publicFingerprint(request);
    const entry = newEntry(
      {
        namespace,
        pool,
        claimId,
        term,
        fingerprint,
        outcome,
        function: fn,
        createdAtUnixMs: clock.now(),
      },
      { privateFingerprint: privateFingerprint(request, fingerprint, processKey) },
    );
    ledger.add(entry);
    outcome.catch(() => undefined); // every caller may have left
    this.#inFlight++;
    this.#deps.run
      .run(entry, request, arrivedMs, owner)
      .then(
        (claim) => {
          observe({ pool: poolKey(namespace, pool), outcome: claim.source ?? 'standby', timings: claim.timings });
          resolve(claim);
        },
        (error: unknown) => reject(this.#fail(entry, error)),
      )
      .finally(() => this.#inFlight--);
    return entry;
  }

  #fail(entry: LedgerEntry, cause: unknown): ClaimError {
    const error =
      cause instanceof ClaimError
        ? cause
        : claimError('Internal', "the claim failed for a reason that is in the operator's log", { cause });
    if (error.code === 'Internal')
      this.#deps.log.error({ claimId: entry.claimId, err: error.cause ?? error }, 'claim failed unexpectedly');
    const isUserError = error.statusCode === 422;
    this.#deps.observe({ pool: poolKey(entry.namespace, entry.pool), outcome: outcomeOf(error), timings: undefined });
    entry.error = error;
    // what may go better next time is forgotten, so that the same id can be tried again
    this.#deps.ledger.end(
      entry,
      { state: 'failed', error: { code: error.code, message: error.message } },
      isUserError ? USER_ERROR_KEEP_MS : 0,
    );
    return error;
  }

  async #join(entry: LedgerEntry, signal: AbortSignal): Promise<Claim> {
    if (signal.aborted) throw claimError('ClaimAbandoned', 'the client went away');
    entry.waiting++;
    const { promise: gone, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(claimError('ClaimAbandoned', 'the client went away'));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const claim = await Promise.race([entry.outcome, gone]);
      entry.isAnswered = true;
      return claim;
    } finally {
      signal.removeEventListener('abort', onAbort);
      entry.waiting--;
      if (signal.aborted && entry.waiting === 0 && !entry.isAnswered) this.#abandon(entry);
    }
  }

  /** Nobody waits for this claim any more. A retry within the grace still finds it. */
  #abandon(entry: LedgerEntry): void {
    if (entry.claim.state === 'queued') entry.cancel.abort();
    this.#deps.clock.after(ABANDON_GRACE_MS, () => {
      // by now the id may be that of another attempt
      const isOver = this.#deps.ledger.get(entry.namespace, entry.claimId) !== entry;
      if (isOver || entry.waiting > 0 || entry.isAnswered) return;
      this.release(entry.namespace, entry.claimId).catch(() => undefined);
    });
  }

  /**
   * 9. The end of a claim: its instance is killed and deleted, or kept for `keepWarmMs` for the same function and tenant. Releasing
   * twice is the same as once.
   */
  async release(namespace: string, claimId: string, keepWarmMs = 0): Promise<Claim> {
    this.#requireServing();
    const { ledger, idle, retirement, pods } = this.#deps;
    const entry = ledger.get(namespace, claimId);
    if (entry === undefined)
      throw claimError('ClaimNotFound', `there is no claim ${claimId} in namespace ${namespace}`);
    entry.cancel.abort();
    // one that was taken over is nobody's work here
    if (entry.recovery === undefined) await entry.outcome.catch(() => undefined);
    if (entry.claim.state === 'released') return entry.claim;
    const uid = entry.podUid;
    const pod = uid === undefined ? undefined : pods.getByUid(uid);
    const isKept = keepWarmMs > 0 && pod !== undefined && (await idle.keep(entry, pod, keepWarmMs));
    if (this.#deps.servingTerm() !== entry.term) throw notLeader();
    ledger.end(entry, { state: 'released' }, RELEASED_KEEP_MS);
    endRecovery(entry, claimError('ClaimReleased', `claim ${claimId} was released; use a new claim id`));
    if (!isKept && pod !== undefined) await retirement.retire(pod, `claim ${claimId} was released`);
    return entry.claim;
  }

  #requireServing(): number {
    const term = this.#deps.servingTerm();
    if (term === undefined) throw notLeader();
    return term;
  }
}

function outcomeOf(error: ClaimError): ClaimSample['outcome'] {
  if (error.code === 'ClaimAbandoned') return 'abandoned';
  if (error.statusCode === 429) return 'empty';
  return error.statusCode === 422 ? 'user-error' : 'error';
}
