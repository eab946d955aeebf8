import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { ClaimClient } from '@warmpool/local/claim-client.ts';
import { invokeOnce, unexpected } from '@warmpool/local/invoke.ts';
import { packFunctions, type PackedFunction } from '@warmpool/local/pack-functions.ts';
import { findRuntimes, type PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import type { JsonAnswer } from '@warmpool/wire/json-client.ts';
import { request } from 'undici';
import type { ClaimBenchConfig } from './config.ts';
import { distribution, machine, medians, round, type Distribution } from './figures.ts';
import { podFigures, type PodFigures } from './pod-figures.ts';
import { ClusterTarget } from './cluster-target.ts';
import { LocalTarget } from './local-target.ts';
import type { BenchTarget, ColdStart, PoolFill } from './target.ts';

const FUNCTIONS = fileURLToPath(new URL('../examples/functions', import.meta.url));
/** Not counted: the first claims compile the platform's own code. */
const WARM_UP_CLAIMS = 20;
const ROUND_TRIPS = 200;

export interface ClaimBenchResult {
  target: 'local' | 'cluster';
  function: string;
  claims: number;
  /** From sending the claim to its answer, over HTTP on a kept-alive connection; the pool full and the machine quiet before each. */
  claimToReadyMs: Distribution;
  /** From sending the claim to the end of the instance's first answer. */
  claimToFirstResponseMs: Distribution;
  /**
   * To the end of the first answer from starting a plain process with its code on disk (local), or from creating a plain pod of the
   * same image, waiting until it is Ready (cluster).
   */
  coldStartMs: Distribution;
  /** coldStartMs.p50 over claimToFirstResponseMs.p50. */
  ratioP50: number;
  /** Both without the user's own import: what the platform is answerable for. */
  platformPartMs: { claimP50: number; coldP50: number; ratio: number };
  /** As claimToReadyMs, but claims follow each other at once while the pool refills. */
  whileRefillingMs: Distribution;
  burst: { size: number; p50: number; p95: number; max: number; phasesP50Ms: Record<string, number> };
  phasesP50Ms: Record<string, number>;
  /** With the target cluster only. */
  pods?: PodFigures;
  /** A GET of the claim API that does next to nothing, in the same run: what one exchange between two processes costs on this machine. */
  roundTripMs: Distribution;
  failures: number;
  /** Pods that were handed out twice. */
  duplicates: number;
  machine: ReturnType<typeof machine>;
}

interface BurstSample {
  readyMs: number;
  claim: Claim;
}

interface Sample extends BurstSample {
  firstResponseMs: number;
}

/** Claims of one function, measured from outside, next to cold starts of the same function in the same run. */
export async function benchClaims(config: ClaimBenchConfig): Promise<ClaimBenchResult> {
  const { fn, runtime } = await prepare(config);
  const replicas = Math.max(config.replicas, config.burst);
  const target: BenchTarget =
    config.target === 'cluster'
      ? await ClusterTarget.start(config.hostEnv, FUNCTIONS, fn, replicas)
      : await LocalTarget.start(config.tmpDir, { fn, runtime, env: config.hostEnv }, replicas);
  const client = new ClaimClient(target.url, config.burst, target.headers);
  const run = new ClaimRun(target, client, fn);
  try {
    for (let i = 0; i < WARM_UP_CLAIMS; i++) await run.claimNow();
    run.reset();
    const samples = await repeat(config.claims, () => run.claimOnQuietPool());
    const busy = await repeat(Math.min(config.claims, 100), () => run.claimNow());
    const bursts: BurstSample[] = [];
    for (let i = 0; i < config.rounds; i++) bursts.push(...(await run.burst(config.burst)));
    await target.filled();
    const roundTrips = await repeat(ROUND_TRIPS, () => roundTrip(target));
    const refills: number[] = [];
    const colds = await repeat(config.colds, async () => {
      if (config.target === 'cluster') refills.push(await run.refill());
      await target.quiet();
      return target.coldStart();
    });
    const { fill } = target;
    return summarise(config, { samples, busy, bursts, colds, refills, roundTrips, fill }, run);
  } finally {
    await client.close();
    await target.stop();
  }
}

async function prepare(config: ClaimBenchConfig): Promise<{ fn: PackedFunction; runtime: PresentRuntime }> {
  const runtimes = await findRuntimes();
  const folders = { functionsDir: FUNCTIONS, cacheDir: config.cacheDir, storeDir: path.join(config.cacheDir, 'store') };
  const { packed, skipped } = await packFunctions(folders, { runtimes, env: config.hostEnv });
  const fn = packed.find((each) => each.function.name === config.function);
  if (fn === undefined) {
    const reason = skipped.find(({ name }) => name === config.function)?.reason;
    throw new Error(
      reason === undefined
        ? `--function: there is ${packed.map((each) => each.function.name).join(', ')}`
        : `${config.function} cannot be packed here: ${reason}`,
    );
  }
  const runtime = runtimes.find(
    (each): each is PresentRuntime => 'command' in each && each.name === fn.function.runtime.name,
  );
  if (runtime === undefined) throw new Error(`runtime ${fn.function.runtime.name} is not on this machine`);
  return { fn, runtime };
}

class ClaimRun {
  failures = 0;
  duplicates = 0;
  readonly #target: BenchTarget;
  readonly #client: ClaimClient;
  readonly #fn: PackedFunction;
  readonly #pods = new Set<string>();
  #next = 0;

  constructor(target: BenchTarget, client: ClaimClient, fn: PackedFunction) {
    this.#target = target;
    this.#client = client;
    this.#fn = fn;
  }

  reset(): void {
    this.failures = 0;
  }

  async claimOnQuietPool(): Promise<Sample | undefined> {
    await this.#target.quiet();
    return this.claimNow();
  }

  /** From a claim on a full pool until the pool is full again. */
  async refill(): Promise<number> {
    await this.#target.quiet();
    const startedMs = performance.now();
    const { claimId } = this.#read(await this.#send());
    await this.#target.filled();
    const refillMs = performance.now() - startedMs;
    await this.#client.release(this.#target.namespace, claimId);
    return refillMs;
  }

  /** One claim, one request to what it gave, and its release. */
  async claimNow(): Promise<Sample | undefined> {
    try {
      const startedMs = performance.now();
      const claimed = await this.#send();
      const readyMs = performance.now() - startedMs;
      const claim = this.#read(claimed);
      const answer = await invokeOnce(claim.address?.url ?? '', this.#fn.function.invoke);
      const firstResponseMs = performance.now() - startedMs;
      const problem = unexpected(answer, this.#fn.function.invoke.expect);
      if (problem !== undefined) throw new Error(problem);
      await this.#client.release(this.#target.namespace, claim.claimId);
      return { readyMs, firstResponseMs, claim };
    } catch (error) {
      this.failures++;
      process.stderr.write(`claim failed: ${error instanceof Error ? error.message : String(error)}\n`);
      return undefined;
    }
  }

  /** All at once on a full pool. */
  async burst(size: number): Promise<BurstSample[]> {
    await this.#target.quiet();
    const claims = await Promise.all(
      Array.from({ length: size }, async () => {
        const startedMs = performance.now();
        try {
          const claimed = await this.#send();
          const readyMs = performance.now() - startedMs;
          return { readyMs, claim: this.#read(claimed) };
        } catch (error) {
          this.failures++;
          process.stderr.write(`claim failed: ${error instanceof Error ? error.message : String(error)}\n`);
          return undefined;
        }
      }),
    );
    const done = claims.filter((claim) => claim !== undefined);
    await Promise.all(done.map(({ claim }) => this.#client.release(this.#target.namespace, claim.claimId)));
    return done;
  }

  #send(): Promise<JsonAnswer> {
    const { namespace, poolName } = this.#target;
    return this.#client.send(namespace, poolName, this.#target.claimRequest(`bench-${process.pid}-${this.#next++}`));
  }

  #read(answer: JsonAnswer): Claim {
    const claim = this.#client.read(answer);
    const uid = claim.pod?.uid ?? '';
    if (this.#pods.has(uid)) this.duplicates++;
    this.#pods.add(uid);
    return claim;
  }
}

interface Measured {
  samples: Sample[];
  busy: Sample[];
  bursts: BurstSample[];
  colds: ColdStart[];
  refills: number[];
  roundTrips: number[];
  fill: PoolFill | undefined;
}

function summarise(config: ClaimBenchConfig, measured: Measured, run: ClaimRun): ClaimBenchResult {
  const { samples, busy, bursts, colds } = measured;
  const claimToFirstResponseMs = distribution(samples.map((sample) => sample.firstResponseMs));
  const coldStartMs = distribution(colds.map((cold) => cold.firstResponseMs));
  const claimP50 = distribution(
    samples.map(({ firstResponseMs, claim }) => firstResponseMs - (claim.timings?.importMs ?? 0)),
  ).p50;
  const coldP50 = distribution(colds.map((cold) => cold.firstResponseMs - cold.importMs)).p50;
  const { p50, p95, max } = distribution(bursts.map(({ readyMs }) => readyMs));
  const claimToReadyMs = distribution(samples.map((sample) => sample.readyMs));
  return {
    target: config.target,
    function: config.function,
    claims: config.claims,
    claimToReadyMs,
    claimToFirstResponseMs,
    coldStartMs,
    ratioP50: round(coldStartMs.p50 / claimToFirstResponseMs.p50),
    platformPartMs: { claimP50, coldP50, ratio: round(coldP50 / claimP50) },
    whileRefillingMs: distribution(busy.map((sample) => sample.readyMs)),
    burst: {
      size: config.burst,
      p50,
      p95,
      max,
      phasesP50Ms: medians(bursts.map(({ claim }) => ({ ...claim.timings }))),
    },
    phasesP50Ms: medians(samples.map(({ claim }) => ({ ...claim.timings }))),
    ...(measured.fill !== undefined && { pods: podFigures(claimToReadyMs.p50, measured.fill, measured) }),
    roundTripMs: distribution(measured.roundTrips),
    failures: run.failures,
    duplicates: run.duplicates,
    machine: machine(),
  };
}

/** After a pause as long as between claims. */
async function roundTrip({ url, emptyPath, headers }: BenchTarget): Promise<number> {
  await sleep(10);
  const startedMs = performance.now();
  const { body } = await request(`${url}${emptyPath}`, { headers });
  await body.dump();
  return performance.now() - startedMs;
}

async function repeat<T>(times: number, action: () => Promise<T | undefined>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < times; i++) {
    const result = await action();
    if (result !== undefined) results.push(result);
  }
  return results;
}
