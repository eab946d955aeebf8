import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { HostLoadReply, HostLoadRequest, SidecarLoad } from '@warmpool/protocol/host-agent-api.ts';
import type { CodeCache } from '../cache/code-cache.ts';
import type { Clock } from '../clock.ts';
import type { GrantGate } from '../core/grant.ts';
import { LoadPacer } from './load-pacer.ts';
import type { CodeDelivery } from '../deliver/code-delivery.ts';
import { hostError, isHostError } from '../errors.ts';
import type { PeerDirectory } from '../peers/peer-directory.ts';
import type { PodRegistry } from '../pods/pod-registry.ts';
import type { TrackedPod } from '../pods/tracked-pod.ts';
import { reloadSidecars, type SidecarDeps } from '../sidecars/reload-sidecars.ts';
import { sendLoad } from './send-load.ts';

/** How long a load that is not over keeps the next from starting. */
const TURN_MS = 20;

export interface LoadServiceDeps {
  clock: Clock;
  grants: GrantGate;
  pods: PodRegistry;
  cache: CodeCache;
  delivery: CodeDelivery;
  sidecarFolder: SidecarDeps['folderOf'];
  /** Told where else the code is. */
  peers: Pick<PeerDirectory, 'learn'> | undefined;
  log: Logger;
  /** How many there are now, whenever that changes. */
  onInFlight: (count: number) => void;
  onEnded: (outcome: LoadOutcome) => void;
}

export interface LoadOutcome {
  code: string;
  codeSource: 'cache' | 'fetched' | 'none';
  seconds: number;
}

interface Loading {
  pod: TrackedPod;
  request: HostLoadRequest;
}

interface LoadedCode {
  code: DeliveredCode;
  port: number;
  loadTimings: Omit<HostLoadReply['timings'], 'sidecarsMs' | 'totalMs'>;
}

interface DeliveredCode {
  treePath: string;
  codeSource: 'cache' | 'fetched';
  fetchMs: number;
  unpackMs: number;
}

/** One load from grant to answer: check, fetch, deliver, load. */
export class LoadService {
  readonly #deps: LoadServiceDeps;
  /** One more than there are cores: a load waits for its messages at times. */
  readonly #pacer = new LoadPacer(availableParallelism() + 1, TURN_MS);
  #inFlight = 0;
  #isDraining = false;
  #onIdle: (() => void) | undefined;

  constructor(deps: LoadServiceDeps) {
    this.#deps = deps;
  }

  /** `caller` aborts when whoever asked is gone: a fetch then stops, a load that was sent runs to its end. */
  async load(request: HostLoadRequest, caller: AbortSignal): Promise<HostLoadReply> {
    if (this.#isDraining) throw hostError.draining();
    const { clock, onEnded, onInFlight } = this.#deps;
    const startedMs = clock.monotonic();
    let outcome: Pick<LoadOutcome, 'code' | 'codeSource'> = { code: 'Internal', codeSource: 'none' };
    onInFlight(++this.#inFlight);
    try {
      const reply = await this.#run(request, caller, startedMs);
      outcome = { code: 'ok', codeSource: reply.codeSource };
      return reply;
    } catch (error) {
      if (isHostError(error)) outcome = { code: error.code, codeSource: 'none' };
      throw error;
    } finally {
      onEnded({ ...outcome, seconds: (clock.monotonic() - startedMs) / 1000 });
      onInFlight(--this.#inFlight);
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Takes no more loads; resolves when those in flight have ended. */
  drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle = resolve));
  }

  async #run(request: HostLoadRequest, caller: AbortSignal, startedMs: number): Promise<HostLoadReply> {
    const { clock, grants, pods, log } = this.#deps;
    const { grant } = request;
    grants.admit(grant, clock.now());
    if (request.deadlineUnixMs <= clock.now()) throw hostError.deadlineExceeded('the request was on its way');
    const pod = pods.get(grant.podUid);
    const { host } = pod;
    pod.beginLoad(grant.epoch, grant.claimId);

    const { sidecars = [] } = request;
    const loading = { pod, request };
    const [{ code, port, loadTimings }, sidecarsMs] =
      sidecars.length === 0
        ? [await this.#loadCode(loading, caller), undefined]
        : await this.#withSidecars(loading, sidecars, caller);
    const timings = {
      ...loadTimings,
      ...(sidecarsMs === undefined ? {} : { sidecarsMs }),
      totalMs: clock.monotonic() - startedMs,
    };
    const { claimId, podUid, epoch } = grant;
    // what follows the answer is nobody's wait
    setImmediate(() => {
      log.info({ claimId, podUid, digest: request.code.digest, codeSource: code.codeSource, timings }, 'loaded');
      void pod.refresh();
    });
    return {
      claimId,
      podUid,
      epoch,
      address: { host, port },
      codeSource: code.codeSource,
      timings,
    };
  }

  async #loadCode({ pod, request }: Loading, caller: AbortSignal): Promise<LoadedCode> {
    const { clock, delivery } = this.#deps;
    const code = await this.#bringCode(request, caller);
    const deliveringMs = clock.monotonic();
    const codePath = await delivery.deliver(pod, code.treePath);
    const loadingMs = clock.monotonic();
    const { port, timings } = await this.#pacer.run(() => sendLoad({ clock }, pod, request, codePath));
    const loadTimings = {
      fetchMs: code.fetchMs,
      unpackMs: code.unpackMs,
      mountMs: loadingMs - deliveringMs,
      loadMs: clock.monotonic() - loadingMs,
      importMs: timings.importMs,
    };
    return { code, port, loadTimings };
  }

  /** Both at once; when one fails, nobody waits for the other. A pod of which a sidecar failed is not used again. */
  async #withSidecars(
    loading: Loading,
    sidecars: readonly SidecarLoad[],
    caller: AbortSignal,
  ): Promise<[LoadedCode, number]> {
    const { clock, sidecarFolder } = this.#deps;
    const startedMs = clock.monotonic();
    const isOver = new AbortController();
    const signal = AbortSignal.any([caller, isOver.signal]);
    const reloaded = reloadSidecars({ clock, folderOf: sidecarFolder }, loading.request, sidecars, signal).then(
      () => clock.monotonic() - startedMs,
    );
    try {
      return await Promise.all([this.#loadCode(loading, signal), reloaded]);
    } catch (error) {
      if (isHostError(error, 'SidecarFailed')) await loading.pod.fail(error.message, error.code);
      throw error;
    } finally {
      isOver.abort(hostError.clientGone());
    }
  }

  async #bringCode(
    { code: reference, grant, deadlineUnixMs, peers }: HostLoadRequest,
    caller: AbortSignal,
  ): Promise<DeliveredCode> {
    const { cache, clock } = this.#deps;
    const code = { ...reference, access: grant.access };
    const cached = cache.take(code, grant.podUid);
    if (cached !== undefined) return { treePath: cached, codeSource: 'cache', fetchMs: 0, unpackMs: 0 };
    this.#deps.peers?.learn(code.digest, peers ?? []);
    const deadline = new AbortController();
    const timer = setTimeout(
      () => deadline.abort(hostError.deadlineExceeded('its code was being fetched')),
      Math.max(1, deadlineUnixMs - clock.now()),
    );
    try {
      const signal = AbortSignal.any([deadline.signal, caller]);
      const fetched = await cache.fetch(code, { podUid: grant.podUid, deadlineUnixMs, signal });
      return { ...fetched, codeSource: 'fetched' };
    } finally {
      clearTimeout(timer);
    }
  }
}
