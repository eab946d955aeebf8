import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import {
  grantPayload,
  LOAD_ERROR_CODES,
  type HostLoadReply,
  type HostLoadRequest,
  type LoadErrorCode,
  type PodReport,
} from '@warmpool/protocol/host-agent-api.ts';

export interface RecordedLoad {
  podUid: string;
  claimId: string;
  env: Readonly<Record<string, string>>;
}

/** A load that was refused, as the host-agent API words it. */
export class LoadRefused extends Error {
  readonly code: LoadErrorCode;
  readonly status: number;

  constructor(code: LoadErrorCode, message: string) {
    super(message);
    this.code = code;
    this.status = LOAD_ERROR_CODES[code].status;
  }
}

/**
 * The processes in the pods of one node: what truly happened, whatever labels and answers say. A process accepts one load in its life,
 * and only with a grant for this very process.
 */
export class PodProcesses {
  /** Every load that a process accepted, in order; kept after the pod is gone. */
  readonly loads: RecordedLoad[] = [];
  /** Loads that came without a right to. */
  readonly badGrants: string[] = [];
  loadMs: number;
  readonly #grantKey: Buffer;
  readonly #reports = new Map<PodUid, PodReport>();
  readonly #listeners = new Set<(uid: PodUid, report: PodReport | undefined) => void>();
  #port = 20_000;

  constructor(options: { grantKey: Buffer; loadMs: number }) {
    this.#grantKey = options.grantKey;
    this.loadMs = options.loadMs;
  }

  reports(): PodReport[] {
    return [...this.#reports.values()];
  }

  /** The pods in which a loaded process is alive now, with the claim that it was loaded for. */
  loadedNow(): { podUid: string; claimId: string }[] {
    return this.reports().flatMap(({ podUid, state, claimId }) =>
      claimId !== undefined && (state === 'loading' || state === 'ready') ? [{ podUid, claimId }] : [],
    );
  }

  onChange(listener: (uid: PodUid, report: PodReport | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  boot(uid: PodUid): void {
    this.#set({ podUid: uid, epoch: randomUUID(), state: 'standby', seq: 0, inFlight: 0 });
  }

  gone(uid: PodUid): void {
    if (!this.#reports.delete(uid)) return;
    for (const listener of this.#listeners) listener(uid, undefined);
  }

  /** @throws LoadRefused */
  async load(request: HostLoadRequest): Promise<HostLoadReply> {
    const { podUid, claimId, epoch } = request.grant;
    this.#requireGrant(request.grant);
    const process = this.#reports.get(podUid);
    if (process === undefined) throw new LoadRefused('PodUnknown', `pod ${podUid} is not on this node`);
    if (process.epoch !== epoch) throw new LoadRefused('BadGrant', `pod ${podUid} runs another process`);
    if (process.state !== 'standby') throw new LoadRefused('PodNotStandby', `pod ${podUid} is ${process.state}`);
    this.loads.push({ podUid, claimId, env: request.env });
    const { digest } = request.code;
    this.#change(podUid, { state: 'loading', claimId, digest });
    await delay(this.loadMs);
    const address = { host: '127.0.0.1', port: this.#port++ };
    if (this.#reports.get(podUid)?.state !== 'loading') throw new LoadRefused('PodLost', `pod ${podUid} was ended`);
    this.#change(podUid, { state: 'ready', address, idleSinceUnixMs: Date.now() });
    const timings = { fetchMs: 0, unpackMs: 0, mountMs: 0, loadMs: this.loadMs, importMs: 0, totalMs: this.loadMs };
    return { claimId, podUid, epoch, address, codeSource: 'cache', timings };
  }

  kill(uid: PodUid): PodReport | undefined {
    return this.#change(uid, { state: 'terminated' });
  }

  #requireGrant(grant: HostLoadRequest['grant']): void {
    const { signature, ...signed } = grant;
    const expected = createHmac('sha256', this.#grantKey).update(grantPayload(signed)).digest();
    const isSigned = timingSafeEqual(expected, Buffer.from(signature, 'hex'));
    if (isSigned && grant.expiresAtUnixMs >= Date.now()) return;
    this.badGrants.push(grant.claimId);
    throw new LoadRefused('BadGrant', isSigned ? 'the grant has expired' : 'the grant is not signed with the key');
  }

  #change(uid: PodUid, change: Partial<PodReport>): PodReport | undefined {
    const before = this.#reports.get(uid);
    return before && this.#set({ ...before, ...change, seq: before.seq + 1 });
  }

  #set(report: PodReport): PodReport {
    this.#reports.set(report.podUid, report);
    for (const listener of this.#listeners) listener(report.podUid, report);
    return report;
  }
}
