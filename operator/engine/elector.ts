import { abortable, AbortScope } from './abort.ts';
import { sleep, type Clock } from './clock.ts';
import { isKubeError, type KubeClient } from './kube-client.ts';
import { LeaseRecord, type HeldLease, type LeaseTarget } from './lease-record.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Random } from './random.ts';

export interface ElectorDeps {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Log;
  metrics: Metrics;
}

export interface ElectorOptions extends LeaseTarget {
  /** Nobody else takes the lease for this long after its last change; default 15 s. */
  leaseDurationMs?: number;
  /** A leader that could not renew for this long stops being one; default 10 s. Must be below the lease's duration. */
  renewDeadlineMs?: number;
  /** Between attempts; default 2 s. */
  retryPeriodMs?: number;
}

export interface ElectorCallbacks {
  /** `term` only ever rises, over all processes. The signal aborts when the term is over. Must not throw. */
  onStarted(term: number, signal: AbortSignal): void;
  /** Called once for each `onStarted`, after its signal aborted. A clean stop releases the lease when this resolves. */
  onStopped(term: number): void | Promise<void>;
}

interface Term extends HeldLease {
  number: number;
  resourceVersion: string;
  /** Monotonic; counted from before the renewing request was sent, so it ends before anybody else may begin. */
  validUntilMs: number;
}

/**
 * One leader at a time by a Lease. No clock of another machine is ever compared with ours: what counts is how long ago this process
 * saw the lease change. Who asks `isLeader` after having been paused is told the truth, though no timer has run yet.
 */
export class Elector {
  readonly #deps: ElectorDeps;
  readonly #options: Required<ElectorOptions>;
  readonly #callbacks: ElectorCallbacks;
  readonly #record: LeaseRecord;
  #term: Term | undefined;

  constructor(deps: ElectorDeps, options: ElectorOptions, callbacks: ElectorCallbacks) {
    this.#deps = deps;
    this.#options = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000, ...options };
    this.#callbacks = callbacks;
    this.#record = new LeaseRecord(deps, this.#options);
    if (this.#options.renewDeadlineMs >= this.#options.leaseDurationMs) {
      throw new Error('renewDeadlineMs must be below leaseDurationMs, else two processes could lead at once');
    }
    this.#showLeadership();
  }

  isLeader(): boolean {
    return this.#term !== undefined && this.#deps.clock.monotonic() < this.#term.validUntilMs;
  }

  /** The fence of the present leadership; undefined when this process does not lead. */
  get term(): number | undefined {
    return this.isLeader() ? this.#term?.number : undefined;
  }

  /** Who held the lease when it was last read. */
  get holder(): string | undefined {
    return this.#record.holder;
  }

  /** Tries to lead, leads, and tries again when leadership was lost, until the signal aborts; then releases the lease. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const requestedMs = this.#deps.clock.monotonic();
      const won = await this.#tryToAcquire(signal);
      if (won) {
        await this.#lead({ ...won, validUntilMs: requestedMs + this.#options.renewDeadlineMs }, signal);
      } else {
        await this.#pause(signal);
      }
    }
  }

  async #tryToAcquire(signal: AbortSignal): Promise<Omit<Term, 'validUntilMs'> | undefined> {
    try {
      using attempt = this.#attempt(signal, this.#options.renewDeadlineMs);
      return await abortable(this.#record.acquire(attempt.signal), attempt.signal);
    } catch (error) {
      if (!signal.aborted && !isKubeError(error, 409)) {
        this.#deps.log.warn({ err: error, lease: this.#options.name }, 'the lease could not be read or written');
      }
      return undefined;
    }
  }

  async #lead(term: Term, signal: AbortSignal): Promise<void> {
    // A won lease whose answer came too late is not led at all.
    if (this.#deps.clock.monotonic() >= term.validUntilMs) return;
    const { log } = this.#deps;
    using leadership = new AbortScope(signal);
    this.#term = term;
    this.#showLeadership();
    log.info({ lease: this.#options.name, term: term.number }, 'leading');
    this.#guard(() => this.#callbacks.onStarted(term.number, leadership.signal));
    try {
      await this.#renewUntilLost(term, leadership);
    } finally {
      this.#term = undefined;
      leadership.abort(new Error('no longer the leader'));
      this.#showLeadership();
      log.info({ lease: this.#options.name, term: term.number }, 'no longer leading');
    }
    const stopped = this.#stopped(term);
    // After a loss there is no hurry and no deadline: leading again while the last term's work still runs would be two leaders.
    if (signal.aborted) await this.#release(term, stopped);
    else await stopped;
  }

  async #renewUntilLost(term: Term, leadership: AbortScope): Promise<void> {
    const { clock, log } = this.#deps;
    const lost = (): Error => new Error('the lease was not renewed in time');
    leadership.abortAfter(clock, term.validUntilMs - clock.monotonic(), lost);
    while (!leadership.signal.aborted) {
      await this.#pause(leadership.signal);
      if (leadership.signal.aborted) return;
      const requestedMs = clock.monotonic();
      // A paused process wakes up here, perhaps before the timer above has run.
      if (requestedMs >= term.validUntilMs) return;
      try {
        // Half the deadline: a request that hangs leaves room for another.
        using attempt = this.#attempt(leadership.signal, this.#options.renewDeadlineMs / 2);
        const renewed = await abortable(this.#record.renew(term, attempt.signal), attempt.signal);
        if (renewed === undefined) return;
        // Only now, and only if still in time: an answer after the end of the term does not revive it.
        if (clock.monotonic() >= term.validUntilMs) return;
        term.resourceVersion = renewed;
        term.validUntilMs = requestedMs + this.#options.renewDeadlineMs;
        leadership.abortAfter(clock, term.validUntilMs - clock.monotonic(), lost);
      } catch (error) {
        if (leadership.signal.aborted) return;
        log.warn({ err: error, lease: this.#options.name }, 'the lease was not renewed, trying again');
      }
    }
  }

  /** The next leader need not wait for the lease to run out; but it does when our own work has not ended by then. */
  async #release(term: Term, stopped: Promise<void>): Promise<void> {
    const { clock, log } = this.#deps;
    using limit = new AbortScope();
    limit.abortAfter(clock, Math.max(0, term.validUntilMs - clock.monotonic()), () => new Error('the term is over'));
    try {
      await abortable(stopped, limit.signal);
      await abortable(this.#record.release(term, limit.signal), limit.signal);
    } catch (error) {
      log.warn({ err: error, lease: this.#options.name }, 'the lease was not released; it runs out by itself');
    }
  }

  async #stopped(term: Term): Promise<void> {
    try {
      await this.#callbacks.onStopped(term.number);
    } catch (error) {
      this.#deps.log.error({ err: error }, 'onStopped failed');
    }
  }

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'onStarted failed');
    }
  }

  #attempt(parent: AbortSignal, timeoutMs: number): AbortScope {
    const scope = new AbortScope(parent);
    scope.abortAfter(this.#deps.clock, timeoutMs, () => new Error(`no answer within ${timeoutMs} ms`));
    return scope;
  }

  /** Jittered, so that candidates do not all ask at once. */
  #pause(signal: AbortSignal): Promise<void> {
    const delayMs = this.#options.retryPeriodMs * (1 + 0.2 * this.#deps.random());
    return sleep(this.#deps.clock, delayMs, signal).catch(() => undefined);
  }

  #showLeadership(): void {
    const { metrics } = this.#deps;
    metrics.set('leader_election_master_status', { name: this.#options.name }, this.#term ? 1 : 0);
  }
}
