import { isIP } from 'node:net';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { PodReport } from '@warmpool/protocol/host-agent-api.ts';
import type { StatusReply } from '@warmpool/protocol/runtime-agent-api.ts';
import type { JsonCall } from '@warmpool/wire/json-client.ts';
import type { Clock } from '../clock.ts';
import { hostError } from '../errors.ts';
import type { AgentAnswer } from './agent-client.ts';
import { AgentClient, isNeverSent } from './agent-client.ts';
import type { PodFile } from './pod-file.ts';
import type { PodFolder } from './pod-folder.ts';

const STATUS_TIMEOUT_MS = 1_000;
/** So often a standby process is asked whether it still answers; one that hangs without dying is found before a claim finds it. */
const STANDBY_CHECK_MS = 5_000;
const SILENT_CHECKS = 3;
const RECONNECT_AT_ONCE_MS = 250;
/** An agent that serves on every address of the pod cannot say which one others reach. */
const UNSPECIFIED: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
/** A socket's file is there a moment before somebody listens on it, and an agent may still be booting. */
const FIRST_CONTACT_DELAYS_MS = [0, 2, 5, 10, 25, 50, 100, 250, 500];

export interface TrackedPodDeps {
  clock: Clock;
  onReport: (report: PodReport) => void;
}

/**
 * One pod of this node: its connection, what it last said, and whether a load has been let through to it. Its process is identified
 * by the epoch; a new epoch is another process that happens to have the same folder.
 */
export class TrackedPod {
  readonly podUid: PodUid;
  readonly folder: PodFolder;
  readonly file: PodFile;
  readonly #deps: TrackedPodDeps;
  readonly #client: AgentClient;
  #report: PodReport | undefined;
  #host: string | undefined;
  /** Set once: this process has been promised to that claim, whatever came of it. */
  #claim: { epoch: string; claimId: string } | undefined;
  #isMeeting = false;
  #heardMs = Number.NEGATIVE_INFINITY;
  #unanswered = 0;
  #isRefreshing = false;
  #disconnectedMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(deps: TrackedPodDeps, folder: PodFolder, file: PodFile) {
    this.#deps = deps;
    this.podUid = file.podUid;
    this.folder = folder;
    this.file = file;
    this.#host = file.host;
    this.#client = new AgentClient(folder, () => this.#onDisconnect());
  }

  get report(): PodReport | undefined {
    return this.#report;
  }

  /** Where the function is served. */
  get host(): string {
    if (this.#host !== undefined) return this.#host;
    throw hostError.podNotStandby(this.podUid, 'neither its pod.json nor its agent has said what its address is');
  }

  get isFinal(): boolean {
    return this.#report?.state === 'failed' || this.#report?.state === 'terminated';
  }

  /**
   * Worth asking again: what a loaded pod does changes without this program's doing; a standby one with no open connection may
   * have ended unseen (asking opens one again), and one that was not heard for a while may hang.
   */
  get needsRefresh(): boolean {
    if (this.#report === undefined || this.isFinal) return false;
    if (this.#report.state !== 'standby' || !this.#client.isConnected || this.#unanswered > 0) return true;
    return this.#deps.clock.monotonic() - this.#heardMs >= STANDBY_CHECK_MS;
  }

  /** Connects and reports; gives up quietly, since the next rescan calls again. */
  async meet(): Promise<void> {
    if (this.#isMeeting || this.#report !== undefined) return;
    this.#isMeeting = true;
    try {
      for (const delayMs of FIRST_CONTACT_DELAYS_MS) {
        if (delayMs > 0) await this.#deps.clock.sleep(delayMs);
        if (this.#isClosed) return;
        const status = await this.#client.status(STATUS_TIMEOUT_MS).catch(() => undefined);
        if (status === undefined || status.state === 'booting') continue;
        this.#accept(status);
        return;
      }
    } finally {
      this.#isMeeting = false;
    }
  }

  /** Asks for the state again. Silence is not death: user code may be blocking the agent. */
  async refresh(): Promise<void> {
    if (this.#isRefreshing || this.isFinal || this.#isClosed) return;
    this.#isRefreshing = true;
    try {
      // the first connection may have been closing while it was used; a second one tells for certain
      if (!(await this.#askStatus())) await this.#askStatus();
    } finally {
      this.#isRefreshing = false;
    }
  }

  /**
   * The gate that no two claims pass: synchronous, once for each process. The same claim may come again, since the agent answers a
   * repeated load as it did the first time.
   */
  beginLoad(epoch: string, claimId: string): void {
    const report = this.#report;
    if (report === undefined) throw hostError.podNotStandby(this.podUid, 'its agent has not reported yet');
    if (report.epoch !== epoch)
      throw hostError.podNotStandby(this.podUid, 'its process is not the one that was granted');
    const owner = this.#claim?.epoch === epoch ? this.#claim.claimId : report.claimId;
    if (owner !== undefined && owner !== claimId) throw hostError.podNotStandby(this.podUid, 'another claim has it');
    if (this.isFinal || (owner === undefined && report.state !== 'standby')) {
      throw hostError.podNotStandby(this.podUid, `its state is ${report.state}`);
    }
    this.#claim = { epoch, claimId };
  }

  call(request: JsonCall): Promise<AgentAnswer> {
    return this.#client.call(request);
  }

  status(timeoutMs: number): Promise<StatusReply> {
    return this.#client.status(timeoutMs);
  }

  kill(body: unknown, timeoutMs: number): Promise<AgentAnswer> {
    return this.#client.kill(body, timeoutMs);
  }

  /** `failed` is final: whatever the process says afterwards, it is not used again. */
  async fail(message: string, code = 'PodLost'): Promise<void> {
    if (this.isFinal || this.#isClosed || this.#report === undefined) return;
    const before = this.#report;
    const said = code === 'PodLost' ? await this.folder.readTermination() : undefined;
    if (this.isFinal || this.#isClosed) return;
    this.#publish({
      ...(this.#report ?? before),
      state: 'failed',
      seq: (this.#report ?? before).seq + 1,
      inFlight: 0,
      lastError: said ?? { code, message },
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#client.close();
  }

  /** At once, but not in a tight loop with an agent that closes every connection: then the registry's rescan asks. */
  #onDisconnect(): void {
    const nowMs = this.#deps.clock.monotonic();
    if (nowMs - this.#disconnectedMs < RECONNECT_AT_ONCE_MS) return;
    this.#disconnectedMs = nowMs;
    void this.refresh();
  }

  /** False when it is still open whether the process lives. */
  async #askStatus(): Promise<boolean> {
    try {
      this.#accept(await this.#client.status(STATUS_TIMEOUT_MS));
      return true;
    } catch (error) {
      const isTimeout = (error as Error).name === 'TimeoutError';
      if (isNeverSent(error)) await this.fail('the process has ended');
      else if (isTimeout) await this.#judgeSilence();
      return isNeverSent(error) || isTimeout;
    }
  }

  /** No answer, time and again, from a process in which nothing of a user runs: it hangs. */
  async #judgeSilence(): Promise<void> {
    if (this.#claim !== undefined || this.#report?.state !== 'standby') return;
    if (++this.#unanswered < SILENT_CHECKS) return;
    await this.fail('its process does not answer any more, and nothing was loaded into it');
  }

  #accept(status: StatusReply): void {
    if (this.isFinal || this.#isClosed) return;
    this.#heardMs = this.#deps.clock.monotonic();
    this.#unanswered = 0;
    this.#learnHost(status);
    const host = this.#host;
    const port = status.port ?? this.file.port;
    this.#publish({
      podUid: this.podUid,
      epoch: status.epoch,
      state: status.state,
      seq: status.seq,
      inFlight: status.inFlight,
      ...(status.claimId === undefined ? {} : { claimId: status.claimId }),
      ...(status.digest === undefined ? {} : { digest: status.digest }),
      ...(status.claimId === undefined || host === undefined || port === undefined ? {} : { address: { host, port } }),
      ...(status.idleSinceUnixMs === undefined ? {} : { idleSinceUnixMs: status.idleSinceUnixMs }),
      ...(status.lastError === undefined ? {} : { lastError: status.lastError }),
    });
  }

  /** Only from a process that is still standby: what user code could make it say would be connected to by others. */
  #learnHost({ state, host }: StatusReply): void {
    if (this.#host !== undefined || state !== 'standby' || host === undefined) return;
    if (isIP(host) === 0 || UNSPECIFIED.has(host)) return;
    this.folder.rememberHost(this.file, host);
    this.#host = host;
  }

  #publish(report: PodReport): void {
    const before = this.#report;
    // answers can overtake each other on different connections
    if (before !== undefined && before.epoch === report.epoch && report.seq < before.seq) return;
    this.#report = report;
    if (before === undefined || JSON.stringify(before) !== JSON.stringify(report)) this.#deps.onReport(report);
  }
}
