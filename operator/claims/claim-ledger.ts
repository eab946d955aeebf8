import type { Claim } from '@warmpool/protocol/claim-api.ts';
import type { FunctionIdentity, PodUid } from '@warmpool/protocol/fields.ts';
import type { Clock } from '../engine/clock.ts';
import { ClaimError } from '../errors.ts';

/** Everything known about one claim id. One entry per id, from its first sight until some time after its end. */
export interface LedgerEntry {
  readonly key: string;
  readonly namespace: string;
  readonly pool: string;
  readonly claimId: string;
  /** The leadership under which it is worked on; when that is over, nothing more may be done or answered in its name. */
  readonly term: number;
  readonly fingerprint: string;
  /** Unknown for a claim taken over from another operator process. */
  readonly privateFingerprint: string | undefined;
  claim: Claim;
  /** The one attempt that all callers with this id share; settled for a claim that is over. */
  outcome: Promise<Claim>;
  error: ClaimError | undefined;
  podUid: PodUid | undefined;
  /** The process that was loaded. */
  epoch: string | undefined;
  ttlSeconds: number;
  idleTimeoutSeconds: number;
  readyAtUnixMs: number | undefined;
  /** Callers that wait for the outcome now. */
  waiting: number;
  /** A caller has got the instance; from then on only a release or its own limits end it. */
  isAnswered: boolean;
  /** Ends the wait for a pod; a load that is under way is let through and then released. */
  readonly cancel: AbortController;
  /** Taken over from another operator process and not yet known to be ready or lost. */
  recovery: Recovery | undefined;
  /** Lost before anybody can have been answered: the id may be used again. */
  mayStartAnew: boolean;
}

export interface Recovery {
  /** The claim's `outcome`. */
  resolvers: PromiseWithResolvers<Claim>;
  /** Answered long ago, by the operator before this one. */
  wasSettled: boolean;
}

/** What was taken over is decided: whoever waits for it hears it. */
export function endRecovery(entry: LedgerEntry, outcome: Claim | ClaimError): void {
  const { recovery } = entry;
  entry.recovery = undefined;
  if (outcome instanceof ClaimError) recovery?.resolvers.reject(outcome);
  else recovery?.resolvers.resolve(outcome);
}

/** An entry of a claim that has just been seen; `change` holds what differs for one that was taken over. */
export function newEntry(
  facts: Pick<LedgerEntry, 'namespace' | 'pool' | 'claimId' | 'term' | 'fingerprint' | 'outcome'> & {
    function: FunctionIdentity;
    createdAtUnixMs: number;
  },
  change: Partial<LedgerEntry> & { state?: Claim['state'] } = {},
): LedgerEntry {
  const { function: fn, createdAtUnixMs, ...known } = facts;
  const { state = 'queued', ...rest } = change;
  return {
    ...known,
    key: claimKey(known.namespace, known.claimId),
    privateFingerprint: undefined,
    claim: {
      claimId: known.claimId,
      namespace: known.namespace,
      pool: known.pool,
      state,
      function: fn,
      createdAt: new Date(createdAtUnixMs).toISOString(),
    },
    error: undefined,
    podUid: undefined,
    epoch: undefined,
    ttlSeconds: 0,
    idleTimeoutSeconds: 0,
    readyAtUnixMs: undefined,
    waiting: 0,
    isAnswered: false,
    cancel: new AbortController(),
    recovery: undefined,
    mayStartAnew: false,
    ...rest,
  };
}

export function claimKey(namespace: string, claimId: string): string {
  return `${namespace}/${claimId}`;
}

export type LedgerListener = (entry: LedgerEntry) => void;

/**
 * The claims of this operator by id and by pod. Ended claims stay for a while as tombstones, so that a late retry of a released
 * claim does not start a second instance; their number is bounded.
 */
export class ClaimLedger {
  readonly #clock: Clock;
  readonly #entries = new Map<string, LedgerEntry>();
  readonly #byPod = new Map<PodUid, LedgerEntry>();
  /** Ended entries, oldest first, with the time until which they are kept. */
  readonly #ended = new Map<string, number>();
  readonly #listeners = new Set<LedgerListener>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get(namespace: string, claimId: string): LedgerEntry | undefined {
    return this.#entries.get(claimKey(namespace, claimId));
  }

  ofPod(uid: PodUid): LedgerEntry | undefined {
    return this.#byPod.get(uid);
  }

  add(entry: LedgerEntry): void {
    this.#ended.delete(entry.key);
    this.#entries.set(entry.key, entry);
    this.#tell(entry);
  }

  /** From here on this pod is the claim's, and no other's. */
  bind(entry: LedgerEntry, uid: PodUid): void {
    this.unbind(entry);
    entry.podUid = uid;
    this.#byPod.set(uid, entry);
  }

  unbind(entry: LedgerEntry): void {
    if (entry.podUid !== undefined && this.#byPod.get(entry.podUid) === entry) this.#byPod.delete(entry.podUid);
    entry.podUid = undefined;
  }

  update(entry: LedgerEntry, change: Partial<Claim>): void {
    entry.claim = { ...entry.claim, ...change };
    this.#tell(entry);
  }

  /** The claim is over. It is answered from here for `keepMs` more. */
  end(entry: LedgerEntry, change: Partial<Claim>, keepMs: number): void {
    this.unbind(entry);
    this.update(entry, change);
    const holder = this.#entries.get(entry.key);
    if (holder !== undefined && holder !== entry) return; // the id was started anew in between
    if (keepMs <= 0) {
      this.#forget(entry.key);
      return;
    }
    this.#entries.set(entry.key, entry);
    this.#ended.set(entry.key, this.#clock.monotonic() + keepMs);
    this.#sweep();
  }

  *entries(): Iterable<LedgerEntry> {
    this.#sweep();
    yield* this.#entries.values();
  }

  /** Everything, at the end of leadership: another process may decide differently from now on. */
  clear(): void {
    this.#entries.clear();
    this.#byPod.clear();
    this.#ended.clear();
  }

  onChange(listener: LedgerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(entry: LedgerEntry): void {
    for (const listener of this.#listeners) listener(entry);
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    for (const [key, keepUntil] of this.#ended) {
      if (keepUntil > now && this.#ended.size <= MAX_ENDED) break;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    this.#ended.delete(key);
    this.#entries.delete(key);
  }
}

const MAX_ENDED = 20_000;
