import type { Claim, ClaimRequest, ClaimTimings } from '@warmpool/protocol/claim-api.ts';
import PQueue from 'p-queue';
import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { EventRecorder } from '../engine/events.ts';
import type { OwnerReference, Stored } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { ObjectStore } from '../engine/store.ts';
import { codeAccess } from '../core/code-access.ts';
import { poolKey, type StoredPod } from '../core/pod-view.ts';
import type { WarmPool } from '../core/resources.ts';
import { ClaimError, claimError, notLeader } from '../errors.ts';
import { ApiserverGuard } from './apiserver-guard.ts';
import { attemptClaim, type AttemptInput, type AttemptResult, type ClaimAttemptDeps } from './claim-attempt.ts';
import type { ClaimLedger, LedgerEntry } from './claim-ledger.ts';
import type { CpuResizes } from './cpu-resizes.ts';
import { startCold, type ColdStartDeps } from './cold-start.ts';
import { findPool } from './find-pool.ts';
import type { IdleReuse } from './idle-reuse.ts';
import type { Inventory } from './inventory.ts';
import type { NodeView } from './node-view.ts';
import type { Candidate } from './standby-index.ts';
import { tellPool } from './tell-pool.ts';
import { waitForStandby } from './standby-wait.ts';

export interface ClaimRunDeps extends ClaimAttemptDeps, ColdStartDeps {
  pools: ObjectStore<WarmPool>;
  inventory: Inventory;
  nodes: NodeView;
  ledger: ClaimLedger;
  idle: IdleReuse;
  resizes: CpuResizes;
  servingTerm: () => number | undefined;
  /** How many claims load now: whoever shares a machine with them may want to step aside. */
  onLoading?: ((underWay: number) => void) | undefined;
  events: Pick<EventRecorder, 'record'>;
  log: Log;
}

/**
 * Writes and loads at once. More only wait for each other in the connections to the apiserver, with their time limits running, and
 * an overloaded operator would then use up pods faster than it serves claims.
 */
const MAX_ATTEMPTS = 64;
/** A pod that fails is replaced by another for the same claim this often, while the deadline lasts. */
const MAX_PODS_PER_CLAIM = 5;

/**
 * Where a claim goes, in the steps of the design: an idle instance of the same function (2), or a standby pod that is there, that
 * comes while the claim waits, or that is started for it (3, 8); then write and load on it, in parallel (4 to 6), on another pod if
 * that failed and the fault was not the user's; then the answer (7).
 */
export class ClaimRun {
  readonly #deps: ClaimRunDeps;
  readonly #slots = new PQueue({ concurrency: MAX_ATTEMPTS });
  readonly #guard: ApiserverGuard;
  #loading = 0;

  constructor(deps: ClaimRunDeps) {
    this.#deps = deps;
    this.#guard = new ApiserverGuard(deps.kube);
  }

  /** Claims that write and load now. */
  get loading(): number {
    return this.#loading;
  }

  async run(
    entry: LedgerEntry,
    request: ClaimRequest,
    arrivedMs: number,
    owner: OwnerReference | undefined,
  ): Promise<Claim> {
    const { clock, idle, ledger, log, events } = this.#deps;
    const pool = await findPool(this.#deps, entry.namespace, entry.pool);
    const key = poolKey(entry.namespace, entry.pool);
    const deadlineMonotonicMs = arrivedMs + request.deadlineMs;
    const work: Work = { entry, request, pool, key, owner, arrivedMs, deadlineMonotonicMs };
    entry.ttlSeconds = request.ttlSeconds ?? pool.spec.claims.ttlSecondsAfterReady;
    entry.idleTimeoutSeconds = request.idleTimeoutSeconds ?? pool.spec.claims.idleTimeoutSeconds;

    const reused = await idle.reuse(key, entry, () => this.#record(work, 'standby'), owner);
    if (reused !== undefined) this.#raiseCpu(work, reused.pod);
    if (reused !== undefined) return this.#ready(work, { ...reused, source: 'reused' });

    let last: ClaimError | undefined;
    for (let pods = 0; pods < MAX_PODS_PER_CLAIM && clock.monotonic() < deadlineMonotonicMs; pods++) {
      await this.#guard.pass(pool);
      const picked = await this.#pick(work, last);
      const { candidate, source } = picked;
      this.#requireTerm(entry, candidate);
      ledger.update(entry, { state: 'loading' });
      ledger.bind(entry, candidate.uid);
      const record = this.#record(work, source);
      const onOwned = (pod: StoredPod): void => this.#raiseCpu(work, pod);
      const isWritten = source === 'cold';
      const { runtime } = pool.spec;
      const isTermOver = (): boolean => this.#isTermOver(entry);
      const input = { ...work, candidate, record, runtime, access: codeAccess(pool), isWritten, isTermOver, onOwned };
      const result = await this.#attempt(input);
      if (result.kind === 'ready') return this.#ready(work, { ...instanceOf(candidate, result), ...picked });
      ledger.unbind(entry);
      // if it was not retired: another has it, or it died by itself, and others must be free to see that
      this.#deps.inventory.release(candidate.uid);
      last = result.error;
      this.#guard.noteFailure(last.cause);
      tellPool(events, pool, last);
      if (result.kind === 'fail' || entry.cancel.signal.aborted) throw last;
      const pod = candidate.pod.metadata.name;
      log.warn({ claimId: entry.claimId, pool: key, pod, err: last }, 'claim goes on with another pod');
    }
    throw (
      last ??
      claimError('ClaimDeadlineExceeded', `claim ${entry.claimId} was not ready within ${request.deadlineMs} ms`)
    );
  }

  /** Beside the load, and never in its way. */
  #raiseCpu({ entry, request }: Work, pod: StoredPod): void {
    if (request.resources !== undefined) this.#deps.resizes.start(entry, pod, request.resources.cpu);
  }

  /** A standby pod now, or one that comes, or one that is started for this claim. `last` says more than that no other one came. */
  async #pick(work: Work, last: ClaimError | undefined): Promise<Picked> {
    const { clock, inventory, nodes } = this.#deps;
    const { entry, key, pool, request, arrivedMs, deadlineMonotonicMs } = work;
    const startedMs = clock.monotonic();
    const candidate = inventory.take(key, nodes.code.nodesWith(request.code.digest));
    const pickMs = clock.monotonic() - startedMs;
    const queueMs = (): number => clock.monotonic() - arrivedMs - pickMs;
    if (candidate !== undefined) return { candidate, source: 'standby', pickMs, queueMs: queueMs() };
    const waiting = waitForStandby(this.#deps, pool, key, request, entry.cancel.signal, deadlineMonotonicMs);
    const given = await waiting.catch((error: unknown) => {
      throw last !== undefined && isNoneLeft(error) ? last : error;
    });
    if (given !== 'cold') return { candidate: given, source: 'standby', pickMs, queueMs: queueMs() };
    return { candidate: await this.#cold(work), source: 'cold', pickMs, queueMs: queueMs() };
  }

  #cold({ entry, pool, owner, ...work }: Work): Promise<Candidate> {
    const record = this.#record({ entry, pool, owner, ...work }, 'cold');
    const { signal } = entry.cancel;
    const onCreated = (uid: PodUid): void => this.#deps.ledger.bind(entry, uid);
    const cold = { pool, record, owner, deadlineMonotonicMs: work.deadlineMonotonicMs, signal };
    return startCold(this.#deps, { ...cold, isTermOver: () => this.#isTermOver(entry), onCreated });
  }

  /** In a slot of its own, so that the time limits of write and load run only while something is done about them. */
  #attempt(input: AttemptInput): Promise<AttemptResult> {
    return this.#slots.add(async () => {
      this.#countLoading(1);
      try {
        return await attemptClaim(this.#deps, input);
      } finally {
        this.#countLoading(-1);
      }
    });
  }

  #countLoading(change: 1 | -1): void {
    this.#loading += change;
    this.#deps.onLoading?.(this.#loading);
  }

  /** 7. Both the write and the load are through: the answer, unless another process leads by now. */
  #ready({ entry, arrivedMs }: Work, instance: ReadyInstance): Claim {
    this.#requireTerm(entry);
    const { clock, ledger } = this.#deps;
    const nowUnixMs = clock.now();
    const timings: ClaimTimings = {
      queueMs: instance.queueMs ?? 0,
      pickMs: instance.pickMs ?? 0,
      ...instance.phases,
      totalMs: clock.monotonic() - arrivedMs,
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
    return entry.claim;
  }

  #record({ entry, request, deadlineMonotonicMs }: Work, source: ClaimRecord['source']): ClaimRecord {
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

  #isTermOver({ term }: LedgerEntry): boolean {
    return this.#deps.servingTerm() !== term;
  }

  /** A claim belongs to one term: one that was overtaken by a change of leadership stops here. */
  #requireTerm(entry: LedgerEntry, candidate?: Candidate): void {
    if (!this.#isTermOver(entry)) return;
    if (candidate !== undefined) this.#deps.inventory.putBack(candidate);
    throw notLeader();
  }
}

function isNoneLeft(error: unknown): boolean {
  return error instanceof ClaimError && ['ClaimDeadlineExceeded', 'PoolEmpty', 'QueueFull'].includes(error.code);
}

interface Work {
  entry: LedgerEntry;
  request: ClaimRequest;
  pool: Stored<WarmPool>;
  key: string;
  owner: OwnerReference | undefined;
  arrivedMs: number;
  deadlineMonotonicMs: number;
}

interface Picked {
  candidate: Candidate;
  source: 'standby' | 'cold';
  pickMs: number;
  queueMs: number;
}

interface ReadyInstance {
  uid: PodUid;
  pod: StoredPod;
  node: string;
  epoch: string;
  address: { host: string; port: number };
  phases: Omit<ClaimTimings, 'queueMs' | 'pickMs' | 'totalMs'>;
  source: 'standby' | 'reused' | 'cold';
  queueMs?: number;
  pickMs?: number;
  readyAtUnixMs?: number;
}

function instanceOf(
  candidate: Candidate,
  result: Extract<AttemptResult, { kind: 'ready' }>,
): Pick<ReadyInstance, 'uid' | 'pod' | 'node' | 'epoch' | 'address' | 'phases'> {
  const { totalMs: _ofTheNode, ...phases } = result.reply.timings;
  return {
    uid: candidate.uid,
    pod: candidate.pod,
    node: candidate.node,
    epoch: candidate.epoch,
    address: result.reply.address,
    phases: { ...result.phases, ...phases },
  };
}
