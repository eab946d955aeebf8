import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { WARM_POOLS, type WarmPool } from '@warmpool/operator/core/resources.ts';
import { drainClaims } from '@warmpool/operator/drain.ts';
import { systemClock } from '@warmpool/operator/engine/clock.ts';
import { HttpHostAgentClient } from '@warmpool/operator/host-agents/http-host-agent-client.ts';
import { createClaimApi } from '@warmpool/operator/http/claim-api.ts';
import { OperatorMetrics } from '@warmpool/operator/http/metrics.ts';
import { addOpenApiPage } from '@warmpool/operator/http/openapi-page.ts';
import { addOpsRoutes } from '@warmpool/operator/http/ops.ts';
import { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import { Operator } from '@warmpool/operator/operator.ts';
import { pooledRandomHex } from '@warmpool/operator/random-hex.ts';
import { findRuntimes, type RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { LocalError, isErrno } from './errors.ts';
import { HostAgentProcess } from './host-agent-process.ts';
import { Kubelet } from './kubelet/kubelet.ts';
import { loopbackOnly } from './loopback-only.ts';
import { Reaper } from './reaper/reaper.ts';
import { preparerArgs } from './preparers.ts';
import { chooseRunParent, createRunDir, type RunDir } from './run-dir.ts';

const NODE_NAME = 'local';
const VERSION = '0.1.0';
const DRAIN_MS = 2_000;

export interface LocalOptions {
  tmpDir: string;
  hostEnv: Readonly<Record<string, string | undefined>>;
  /** The embedded object store: a folder, or any store URL that the host-agent knows. */
  storeUrl: string;
  pools: WarmPool[];
  /** What this machine can run, if that is known already; each look starts a process per runtime. */
  runtimes?: RuntimeDescription[];
  /** Of the claim API; port 0 takes a free one, `undefined` serves none. */
  listen: { host: string; port: number } | undefined;
  logLevel: string;
  hostAgentArgs?: string[];
  /** Whether code that was fetched is prepared for the next load, which is the default. */
  prepares?: boolean;
}

interface Parts {
  cluster: MemoryCluster;
  operator: Operator;
  metrics: OperatorMetrics;
  runtimes: RuntimeDescription[];
  runDir: string;
  hostAgent: HostAgentProcess;
  reaper: Reaper;
  kubelet: Kubelet;
  api: FastifyInstance | undefined;
  hostAgents: HttpHostAgentClient;
}

/** The single-machine composition: the same operator and host-agent code, pods as processes, the cluster in memory. */
export class LocalCluster {
  readonly cluster: MemoryCluster;
  readonly operator: Operator;
  readonly metrics: OperatorMetrics;
  readonly runtimes: RuntimeDescription[];
  readonly runDir: string;
  readonly hostAgent: HostAgentProcess;
  /** Of the claim API. */
  url = '';
  readonly #parts: Parts;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #isDraining = false;

  private constructor(parts: Parts) {
    this.cluster = parts.cluster;
    this.operator = parts.operator;
    this.metrics = parts.metrics;
    this.runtimes = parts.runtimes;
    this.runDir = parts.runDir;
    this.hostAgent = parts.hostAgent;
    this.#parts = parts;
    this.#running = parts.operator.run(this.#stop.signal);
  }

  static async start(log: Logger, options: LocalOptions): Promise<LocalCluster> {
    const { parent, cacheBytes } = await chooseRunParent(options.tmpDir);
    const runDir = await createRunDir(parent);
    const reaper = await Reaper.start(runDir.path, log);
    try {
      return await LocalCluster.#startIn(runDir, reaper, log, {
        ...options,
        hostAgentArgs: ['--cache-bytes', String(cacheBytes), ...(options.hostAgentArgs ?? [])],
      });
    } catch (error) {
      await reaper.stop();
      throw error;
    }
  }

  static async #startIn(runDir: RunDir, reaper: Reaper, log: Logger, options: LocalOptions): Promise<LocalCluster> {
    const grantKey = randomBytes(32);
    const grantKeyFile = path.join(runDir.path, 'grant.key');
    const socketPath = path.join(runDir.path, 'host-agent.sock');
    const cacheDir = path.join(runDir.path, 'cache');
    await writeFile(grantKeyFile, grantKey, { mode: 0o600 });
    await mkdir(cacheDir);

    const { storeUrl, hostEnv, logLevel, hostAgentArgs = [], prepares = true } = options;
    const runtimes = options.runtimes ?? (await findRuntimes());
    const extraArgs = [...(prepares ? preparerArgs(runtimes) : []), ...hostAgentArgs];
    const hostAgent = new HostAgentProcess(
      { reaper, log },
      {
        nodeName: NODE_NAME,
        socketPath,
        podsDir: runDir.podsDir,
        cacheDir,
        storeUrl,
        grantKeyFile,
        logLevel,
        hostEnv,
        extraArgs,
      },
    );
    await hostAgent.start();

    const random = Math.random;
    const cluster = new MemoryCluster({ clock: systemClock, random });
    const kubelet = new Kubelet(
      { client: cluster.client(), clock: systemClock, random, log, reaper, runtimes },
      { nodeName: NODE_NAME, podsDir: runDir.podsDir, hostEnv },
    );
    const hostAgents = new HttpHostAgentClient([{ node: NODE_NAME, endpoint: `unix:${socketPath}` }]);
    const metrics = new OperatorMetrics(VERSION);
    const operator = new Operator(
      {
        clock: systemClock,
        random,
        kube: cluster.client(),
        hostAgents,
        log,
        metrics,
        // the claim's answer goes first
        observeClaim: (sample) => void setImmediate(metrics.observeClaim, sample),
        onPrefetched: metrics.observePrefetched,
        onLoading: (underWay) => (underWay > 0 ? kubelet.pause() : kubelet.resume()),
        randomHex: pooledRandomHex(),
      },
      { identity: 'local', leaseNamespace: undefined, nodes: [NODE_NAME], grantKey },
    );
    metrics.follow(operator);

    const draining = { now: (): boolean => false };
    const api = options.listen === undefined ? undefined : await claimApi(operator, metrics, log, () => draining.now());
    const local: LocalCluster = new LocalCluster({
      cluster,
      operator,
      metrics,
      runtimes,
      runDir: runDir.path,
      hostAgent,
      reaper,
      kubelet,
      api,
      hostAgents,
    });
    draining.now = () => local.#isDraining;
    kubelet.start();
    try {
      for (const pool of options.pools) await local.applyPool(pool);
      if (api !== undefined && options.listen !== undefined) local.url = await listen(api, options.listen);
    } catch (error) {
      await local.stop();
      throw error;
    }
    return local;
  }

  async applyPool(pool: WarmPool): Promise<void> {
    await this.cluster.client().create(WARM_POOLS, pool.metadata.namespace ?? 'default', pool);
  }

  /** Waiting claims are told to come back, loading ones may end, then everything that was started is ended. */
  async stop(): Promise<void> {
    if (this.#isDraining) return this.#running;
    this.#isDraining = true;
    const { reaper, kubelet, api, hostAgents } = this.#parts;
    await drainClaims(this.operator, systemClock, DRAIN_MS);
    this.#stop.abort(new Error('local mode stops'));
    await api?.close();
    await this.#running;
    await kubelet.stop();
    await hostAgents.close();
    await this.hostAgent.stop();
    await reaper.stop();
  }
}

async function claimApi(
  operator: Operator,
  metrics: OperatorMetrics,
  log: Logger,
  isDraining: () => boolean,
): Promise<FastifyInstance> {
  const { claims, queries, prefetches } = operator;
  const api = createClaimApi({ claims, queries, prefetches, log, isDraining });
  loopbackOnly(api);
  const document = JSON.parse(await readFile(new URL('../docs/api/claim-api.json', import.meta.url), 'utf8')) as object;
  await addOpenApiPage(api, document);
  addOpsRoutes(api, { registry: metrics.registry, log, isReady: () => operator.isServing });
  return api;
}

async function listen(api: FastifyInstance, address: { host: string; port: number }): Promise<string> {
  try {
    return await api.listen(address);
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE')) throw error;
    throw new LocalError(
      'PortInUse',
      `Port ${address.port} on ${address.host} is in use by another program; choose one with: npm start -- --port N`,
      { cause: error },
    );
  }
}
