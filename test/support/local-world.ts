import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino, type Logger } from 'pino';
import { request } from 'undici';
import { vi } from 'vitest';
import { tarOf } from '@warmpool/host-agent/testing/tar-builder.ts';
import { ClaimClient } from '@warmpool/local/claim-client.ts';
import { LocalCluster, type LocalOptions } from '@warmpool/local/compose.ts';
import { PODS, type Pod, type WarmPool } from '@warmpool/operator/core/resources.ts';
import type { Stored } from '@warmpool/operator/engine/kube-client.ts';
import { claimSchema, type Claim, type ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import type { CodeFormat } from '@warmpool/protocol/fields.ts';
import { findRuntimes } from '@warmpool/runtime-agent/runtimes.ts';
import { aPool } from './builders.ts';
import { podProcess, processesOf, type RunProcess } from './run-processes.ts';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

const FILL_LIMIT_MS = 20_000;

/** Local mode for a test: real host-agent, real pods, an object store that the test fills, and the claim API over HTTP. */
export class LocalWorld {
  readonly local: LocalCluster;
  readonly client: ClaimClient;
  readonly storeDir: string;
  readonly #folder: string;
  #next = 0;

  private constructor(local: LocalCluster, folder: string) {
    this.local = local;
    this.#folder = folder;
    this.storeDir = path.join(folder, 'store');
    this.client = new ClaimClient(local.url);
  }

  /** Resolves when every pool is full. */
  static async start(
    pools: WarmPool[],
    options: Partial<LocalOptions> = {},
    log: Logger = pino({ level: 'silent' }),
  ): Promise<LocalWorld> {
    const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'local-world-')));
    mkdirSync(path.join(folder, 'store'));
    const local = await LocalCluster.start(log, {
      tmpDir: folder,
      hostEnv: process.env,
      storeUrl: `folder:${path.join(folder, 'store')}`,
      pools,
      listen: { host: '127.0.0.1', port: 0 },
      logLevel: 'fatal',
      // the tests that are about it say so
      prepares: false,
      ...options,
    });
    const world = new LocalWorld(local, folder);
    await world.untilFull();
    return world;
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.local.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Every pool has its standby pods, and nothing that was claimed is left. */
  async untilFull({ claimed = 0 } = {}): Promise<void> {
    await vi.waitFor(
      () => {
        const unsettled = this.local.operator.isServing
          ? this.local.operator.queries
              .pools()
              .filter((pool) => pool.readyReplicas < pool.replicas || pool.claimedReplicas > claimed)
          : ['not serving'];
        if (unsettled.length > 0) throw new Error(`pools are not full: ${JSON.stringify(unsettled)}`);
      },
      { timeout: FILL_LIMIT_MS, interval: 10 },
    );
  }

  /** Ends every instance that a test left, so that one failure does not become many. */
  async releaseAll(): Promise<void> {
    const { operator } = this.local;
    const claims = operator.queries
      .pools()
      .flatMap((pool) => operator.queries.list(pool.namespace, pool.name, 1000, undefined).items);
    const open = claims.filter(({ state }) => state !== 'released' && state !== 'failed');
    await Promise.all(open.map(({ namespace, claimId }) => this.client.release(namespace, claimId)));
    await this.untilFull();
  }

  /** POSTs an event to an instance. */
  async invoke(url: string | undefined, event: unknown, requestId: string): Promise<{ status: number; body: unknown }> {
    const headers = { 'content-type': 'application/json', 'x-request-id': requestId };
    const answer = await request(url ?? '', { method: 'POST', headers, body: JSON.stringify(event) });
    const text = await answer.body.text();
    return { status: answer.statusCode, body: text === '' ? undefined : JSON.parse(text) };
  }

  async call(method: 'GET' | 'POST' | 'DELETE', route: string, body?: unknown): Promise<Answer> {
    const answer = await request(`${this.local.url}${route}`, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    const isJson = String(answer.headers['content-type']).includes('json');
    return { status: answer.statusCode, headers: answer.headers, body: isJson ? JSON.parse(text) : text };
  }

  /** A claim that is answered whatever comes: the status and the body. */
  tryClaim(pool: string, claim: ClaimRequestInput): Promise<Answer> {
    return this.call('POST', `/v1/pools/default/${pool}/claims`, claim);
  }

  async claimState(claimId: string): Promise<Claim> {
    const { body } = await this.call('GET', `/v1/claims/default/${claimId}`);
    return claimSchema.parse(body);
  }

  /** Puts an object into the store. */
  stored(bytes: Buffer, format: CodeFormat): ClaimRequestInput['code'] {
    const key = `object-${this.#next++}`;
    writeFileSync(path.join(this.storeDir, key), bytes);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    return { key, digest, format };
  }

  storedFiles(files: Record<string, string>): ClaimRequestInput['code'] {
    return this.stored(tarOf(Object.entries(files).map(([name, body]) => ({ name, body }))), 'tar');
  }

  /** A claim for a function that is these files. */
  claimFor(files: Record<string, string>, change: Partial<ClaimRequestInput> = {}): ClaimRequestInput {
    return this.claimOf(this.storedFiles(files), change);
  }

  claimOf(code: ClaimRequestInput['code'], change: Partial<ClaimRequestInput> = {}): ClaimRequestInput {
    return {
      claimId: `claim-${this.#next++}`,
      function: { name: 'under-test', version: '1', tenant: 'acme' },
      code,
      handler: 'index.handler',
      ...change,
    };
  }

  pods(): Stored<Pod>[] {
    return this.local.cluster.snapshot(PODS) as unknown as Stored<Pod>[];
  }

  processes(): RunProcess[] {
    return processesOf(this.local.runDir);
  }

  /** @throws when the pod has no process. */
  pidOf(podUid: string): number {
    const found = podProcess(this.local.runDir, podUid);
    if (found === undefined) throw new Error(`pod ${podUid} has no process`);
    return found.pid;
  }

  /** Keys of whole cache entries, and what is not one: half-made or half-removed. */
  cache(): { entries: string[]; leftovers: string[] } {
    const names = (folder: string): string[] => {
      const full = path.join(this.local.runDir, 'cache', folder);
      return existsSync(full) ? readdirSync(full) : [];
    };
    return { entries: names('sha256').sort(), leftovers: names('tmp') };
  }
}

export function aNodePool(replicas: number, name = 'nodejs'): WarmPool {
  return aPool(name, { replicas });
}

export function aPythonPool(replicas: number): WarmPool {
  return aPool('python', {
    replicas,
    runtime: { name: 'python', version: '3' },
    template: { spec: { containers: [{ name: 'runtime', image: 'warmpool.dev/runtime-python:3' }] } },
  });
}

/** Whether such pods can be started here; says so, once a file, when not. */
export const isPythonHere = (): Promise<boolean> => isHere('python', 'Python');
export const isJavaHere = (): Promise<boolean> => isHere('java', 'Java');

async function isHere(runtimeName: string, language: string): Promise<boolean> {
  const runtime = (await findRuntimes()).find(({ name }) => name === runtimeName);
  if (runtime !== undefined && 'command' in runtime) return true;
  process.stderr.write(`skipped: everything with ${language} pods: ${runtime?.missing ?? 'no such runtime'}\n`);
  return false;
}
