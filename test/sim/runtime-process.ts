import type { PodReport } from '@warmpool/protocol/host-agent-api.ts';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { Clock } from '@warmpool/operator/engine/clock.ts';

export type ProcessState = PodReport['state'];

/** The runtime-agent in a pod: accepts one load in its life. What really happened, whatever anybody believes. */
export class RuntimeProcess {
  readonly podUid: PodUid;
  readonly epoch: string;
  readonly address: { host: string; port: number };
  /** Claim ids of the loads that it took, in order. More than one is a broken promise. */
  readonly loads: string[] = [];
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #state: ProcessState = 'standby';
  #seq = 1;
  #claimId: string | undefined;
  #idleSinceUnixMs: number | undefined;
  #endedAtMs: number | undefined;
  #lastError: { code: string; message: string } | undefined;

  constructor(deps: { clock: Clock; onChange: () => void }, podUid: PodUid, epoch: string, port: number) {
    this.#clock = deps.clock;
    this.#onChange = deps.onChange;
    this.podUid = podUid;
    this.epoch = epoch;
    this.address = { host: '10.0.0.1', port };
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** For which claim it was loaded, or is being loaded. */
  get claimId(): string | undefined {
    return this.#claimId;
  }

  get isAlive(): boolean {
    return this.#state !== 'failed' && this.#state !== 'terminated';
  }

  /** It serves a function. */
  get isLoaded(): boolean {
    return this.#state === 'ready';
  }

  /** Monotonic; undefined while it lives. */
  get endedAtMs(): number | undefined {
    return this.#endedAtMs;
  }

  get idleSinceUnixMs(): number | undefined {
    return this.#idleSinceUnixMs;
  }

  beginLoad(claimId: string): void {
    this.loads.push(claimId);
    this.#claimId = claimId;
    this.#become('loading');
  }

  endLoad(): void {
    if (this.#state !== 'loading') return;
    this.#idleSinceUnixMs = this.#clock.now();
    this.#become('ready');
  }

  fail(code: string, message: string): void {
    if (!this.isAlive) return;
    this.#lastError = { code, message };
    this.#become('failed');
  }

  terminate(): void {
    if (this.isAlive) this.#become('terminated');
  }

  report(): PodReport {
    return {
      podUid: this.podUid,
      epoch: this.epoch,
      state: this.#state,
      seq: this.#seq,
      inFlight: 0,
      ...(this.#claimId !== undefined && { claimId: this.#claimId, address: this.address }),
      ...(this.#idleSinceUnixMs !== undefined && { idleSinceUnixMs: this.#idleSinceUnixMs }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    };
  }

  #become(state: ProcessState): void {
    this.#state = state;
    if (!this.isAlive) this.#endedAtMs = this.#clock.monotonic();
    this.#seq++;
    this.#onChange();
  }
}
