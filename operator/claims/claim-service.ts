import type { Claim, ClaimRequest, ClaimTimings } from '@warmpool/protocol/claim-api.ts';
import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { OwnerReference, Stored } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import { poolKey, type StoredPod } from '../core/pod-view.ts';
import type { WarmPool } from '../core/resources.ts';
import { ClaimError, claimError } from '../errors.ts';
import { attemptClaim, type AttemptResult, type ClaimAttemptDeps } from './claim-attempt.ts';
import { claimKey, type ClaimLedger, type LedgerEntry } from './claim-ledger.ts';
import { startCold, type ColdStartDeps } from './cold-start.ts';
import { privateFingerprint, publicFingerprint } from './fingerprint.ts';
import type { Inventory } from './inventory.ts';
import type { IdleReuse } from './idle-reuse.ts';
import type { NodeView } from './node-view.ts';
import { findPool } from './find-pool.ts';
import { waitForStandby } from './standby-wait.ts';
import type { Candidate } from './standby-index.ts';
import type { ObjectStore } from '../engine/store.ts';

export interface ClaimServiceDeps extends ClaimAttemptDeps, ColdStartDeps {
  pools: ObjectStore<WarmPool>;
  inventory: Inventory;
  nodes: NodeView;
  ledger: ClaimLedger;
  idle: IdleReuse;
  /** The term while this process leads and has a complete view; `undefined` otherwise. */
  servingTerm(): number | undefined;
  /** Key for private fingerprints: random, this process only. */
  processKey: Buffer;
  observe(sample: ClaimSample): void;
  /** How many claims load now: whoever shares a machine with them may want to step aside. */
  onLoading?: ((underWay: number) => void) | undefined;
  log: Log;
}

export interface ClaimSample {
  pool: string;
  outcome: 'standby' | 'reused' | 'cold' | 'user-error' | 'empty' | 'error' | 'abandoned';
  timings: ClaimTimings | undefined;
}

/** A pod that fails is replaced by another for the same claim this often, while the deadline lasts. */
const MAX_PODS_PER_CLAIM = 5;
/** How long an ended claim is remembered: a late retry gets the same word, not a second instance. */
const RELEASED_KEEP_MS = 10 * 60_000;
const USER_ERROR_KEEP_MS = 60_000;

/** Where a claim goes: the steps of the design, in order. */
export class ClaimService {
  readonly #deps: ClaimServiceDeps;
  #inFlight = 0;
  #loading = 0;

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
      if (known === undefined)
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
    const isSame =
      known.pool === poolName &&
      known.fingerprint === publicFingerprint(request) &&
      (known.privateFingerprint === undefined ||
        known.privateFingerprint === privateFingerprint(request, this.#deps.processKey));
    if (!isSame)
      throw claimError('ClaimConflict', `claim id ${request.claimId} was used before for a claim with another body`);
    if (known.claim.state === 'released')
      throw claimError('ClaimReleased', `claim ${request.claimId} was released; use a new claim id`);
    if (known.claim.state === 'failed' && known.error !== undefined) throw known.error;
    if (!known.isRecovering) return this.#join(known, signal);
    try {
      return await this.#join(known, signal);
    } catch (error) {
      if (signal.aborted || !(error instanceof ClaimError) || error.code !== 'PodLost') throw error;
      return undefined;
    }
  }

  #start(
    namespace: string,
    poolName: string,
    request: ClaimRequest,
    term: number,
    arrivedMs: number,
    owner: OwnerReference | undefined,
  ): LedgerEntry {
    const { ledger, clock } = this.#deps;
    const { promise, resolve, reject } = Promise.withResolvers<Claim>();
    const entry: LedgerEntry = {
      key: claimKey(namespace, request.claimId),
      namespace,
      pool: poolName,
      claimId: request.claimId,
      term,
      fingerprint: publicFingerprint(request),
      privateFingerprint: privateFingerprint(request, this.#deps.processKey),
      claim: {
        claimId: request.claimId,
        namespace,
        pool: poolName,
        state: 'queued',
        function: request.function,
        createdAt: new Date(clock.now()).toISOString(),
      },
      outcome: promise,
      error: undefined,
      podUid: undefined,
      epoch: undefined,
      ttlSeconds: 0,
      idleTimeoutSeconds: 0,
      readyAtUnixMs: undefined,
      waiting: 0,
      isAnswered: false,
      cancel: new AbortController(),
      isRecovering: false,
    };
    ledger.add(entry);
    promise.catch(() => undefined); // every caller may have left
    this.#inFlight++;
    this.#run(entry, request, arrivedMs, owner)
      .then(resolve, (error: unknown) => reject(this.#fail(entry, error)))
      .finally(() => this.#inFlight--);
    return entry;
  }

  /** Steps 3 to 8. */
  async #run(
    entry: LedgerEntry,
    request: ClaimRequest,
    arrivedMs: number,
    owner: OwnerReference | undefined,
  ): Promise<Claim> {
    const { clock, inventory, nodes } = this.#deps;
    const pool = await findPool(this.#deps, entry.namespace, entry.pool);
    const deadlineMonotonicMs = arrivedMs + request.deadlineMs;
    entry.ttlSeconds = request.ttlSeconds ?? pool.spec.claims.ttlSecondsAfterReady;
    entry.idleTimeoutSeconds = request.idleTimeoutSeconds ?? pool.spec.claims.idleTimeoutSeconds;
    const key = poolKey(entry.namespace, entry.pool);

    const reused = await this.#deps.idle.reuse(
      key,
      entry,
      this.#record(entry, request, 'standby', deadlineMonotonicMs),
      owner,
    );
    if (reused !== undefined) return this.#ready(entry, { ...reused, source: 'reused', arrivedMs });

    let last: ClaimError | undefined;
    for (let pods = 0; pods < MAX_PODS_PER_CLAIM && clock.monotonic() < deadlineMonotonicMs; pods++) {
      const pickStartedMs = clock.monotonic();
      let candidate = inventory.take(key, nodes.code.nodesWith(request.code.digest));
      const pickMs = clock.monotonic() - pickStartedMs;
      let isCold = false;
      if (candidate === undefined) {
        const waited = await waitForStandby(
          { inventory, clock },
          pool,
          key,
          request,
          entry.cancel.signal,
          deadlineMonotonicMs,
        );
        isCold = waited === 'cold';
        candidate = waited === 'cold' ? await this.#cold(entry, pool, request, deadlineMonotonicMs, owner) : waited;
      }
      const queueMs = clock.monotonic() - arrivedMs - pickMs;
      this.#requireTerm(entry, candidate);
      this.#deps.ledger.update(entry, { state: 'loading' });
      this.#deps.ledger.bind(entry, candidate.uid);
      const source = isCold ? ('cold' as const) : ('standby' as const);
      const record = this.#record(entry, request, source, deadlineMonotonicMs);
      const input = {
        candidate,
        request,
        runtime: pool.spec.runtime,
        record,
        owner,
        deadlineMonotonicMs,
        isWritten: isCold,
      };
      const result = await this.#counted(() => attemptClaim(this.#deps, input));
      if (result.kind === 'ready')
        return this.#ready(entry, { ...instanceOf(candidate, result), source, arrivedMs, queueMs, pickMs });
      this.#deps.ledger.unbind(entry);
      last = result.error;
      if (result.kind === 'fail' || entry.cancel.signal.aborted) throw last;
      this.#deps.log.warn(
        { claimId: entry.claimId, pool: key, pod: candidate.pod.metadata.name, err: last },
        'claim goes on with another pod',
      );
    }
    throw (
      last ??
      claimError('ClaimDeadlineExceeded', `claim ${entry.claimId} was not ready within ${request.deadlineMs} ms`)
    );
  }

  async #counted<T>(load: () => Promise<T>): Promise<T> {
    this.#deps.onLoading?.(++this.#loading);
    try {
      return await load();
    } finally {
      this.#deps.onLoading?.(--this.#loading);
    }
  }

  async #cold(
    entry: LedgerEntry,
    pool: Stored<WarmPool>,
    request: ClaimRequest,
    deadlineMonotonicMs: number,
    owner: OwnerReference | undefined,
  ): Promise<Candidate> {
    const record = this.#record(entry, request, 'cold', deadlineMonotonicMs);
    return startCold(this.#deps, pool, record, owner, deadlineMonotonicMs, entry.cancel.signal, (uid) =>
      this.#deps.ledger.bind(entry, uid),
    );
  }

  /** 7. Both the write and the load are through: the answer, unless another process leads by now. */
  #ready(entry: LedgerEntry, instance: ReadyInstance): Claim {
    this.#requireTerm(entry);
    const { clock, ledger } = this.#deps;
    const nowUnixMs = clock.now();
    const timings: ClaimTimings = {
      queueMs: instance.queueMs ?? 0,
      pickMs: instance.pickMs ?? 0,
      ...instance.phases,
      totalMs: clock.monotonic() - instance.arrivedMs,
    };
    entry.readyAtUnixMs = instance.readyAtUnixMs ?? nowUnixMs;
    const { host, port } = instance.address;
    entry.epoch = instance.epoch;
    ledger.bind(entry, instance.uid);
    ledger.update(entry, {
      state: 'ready',
      source: instance.source,
      pod: { name: instance.pod.metadata.name, uid: instance.uid, node: instance.node },
      address: { host, port, url: `http://${host}:${port}` },
      readyAt: new Date(nowUnixMs).toISOString(),
      timings,
    });
    this.#deps.observe({ pool: poolKey(entry.namespace, entry.pool), outcome: instance.source, timings });
    return entry.claim;
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
      if (entry.waiting > 0 || entry.isAnswered) return;
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
    await entry.outcome.catch(() => undefined);
    if (entry.claim.state === 'released') return entry.claim;
    const uid = entry.podUid;
    const pod = uid === undefined ? undefined : pods.getByUid(uid);
    const isKept = keepWarmMs > 0 && pod !== undefined && (await idle.keep(entry, pod, keepWarmMs));
    ledger.end(entry, { state: 'released' }, RELEASED_KEEP_MS);
    if (!isKept && pod !== undefined) await retirement.retire(pod, `claim ${claimId} was released`);
    return entry.claim;
  }

  #record(
    entry: LedgerEntry,
    request: ClaimRequest,
    source: ClaimRecord['source'],
    deadlineMonotonicMs: number,
  ): ClaimRecord {
    const { clock } = this.#deps;
    const nowUnixMs = clock.now();
    return {
      claimId: entry.claimId,
      loadedAs: entry.claimId,
      function: request.function,
      kind: request.kind,
      digest: request.code.digest,
      fingerprint: entry.fingerprint,
      fence: entry.term,
      source,
      claimedAtUnixMs: nowUnixMs,
      loadDeadlineUnixMs: Math.ceil(nowUnixMs + Math.max(0, deadlineMonotonicMs - clock.monotonic())),
      ttlSeconds: entry.ttlSeconds,
      idleTimeoutSeconds: entry.idleTimeoutSeconds,
    };
  }

  #requireServing(): number {
    const term = this.#deps.servingTerm();
    if (term === undefined) throw notLeader();
    return term;
  }

  /** A claim belongs to one term: one that was overtaken by a change of leadership stops here. */
  #requireTerm(entry: LedgerEntry, candidate?: Candidate): void {
    if (this.#deps.servingTerm() === entry.term) return;
    if (candidate !== undefined) this.#deps.inventory.putBack(candidate);
    throw notLeader();
  }
}

function notLeader(): ClaimError {
  return claimError('NotLeader', 'another operator replica serves claims now; try again', { retryAfterSeconds: 1 });
}

const ABANDON_GRACE_MS = 10_000;

interface ReadyInstance {
  uid: PodUid;
  pod: StoredPod;
  node: string;
  epoch: string;
  address: { host: string; port: number };
  phases: Omit<ClaimTimings, 'queueMs' | 'pickMs' | 'totalMs'>;
  source: 'standby' | 'reused' | 'cold';
  arrivedMs: number;
  queueMs?: number;
  pickMs?: number;
  readyAtUnixMs?: number;
}

function instanceOf(
  candidate: Candidate,
  result: Extract<AttemptResult, { kind: 'ready' }>,
): Pick<ReadyInstance, 'uid' | 'pod' | 'node' | 'epoch' | 'address' | 'phases'> {
  const { fetchMs, unpackMs, mountMs, loadMs, importMs } = result.reply.timings;
  return {
    uid: candidate.uid,
    pod: candidate.pod,
    node: candidate.node,
    epoch: candidate.epoch,
    address: result.reply.address,
    phases: { ...result.phases, fetchMs, unpackMs, mountMs, loadMs, importMs },
  };
}

function outcomeOf(error: ClaimError): ClaimSample['outcome'] {
  if (error.code === 'ClaimAbandoned') return 'abandoned';
  if (error.statusCode === 429) return 'empty';
  return error.statusCode === 422 ? 'user-error' : 'error';
}
