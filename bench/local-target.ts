import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { poolListSchema, type PoolSummary } from '@warmpool/protocol/claim-api.ts';
import type { Runtime } from '@warmpool/protocol/fields.ts';
import { request } from 'undici';
import { stringify } from 'yaml';

const LOCAL_MAIN = fileURLToPath(import.meta.resolve('@warmpool/local/main.ts'));
const LIMIT_MS = 120_000;

/** Local mode with one pool, as a process of its own: what is measured shares no event loop with what measures. */
export class LocalTarget {
  readonly url: string;
  readonly poolName = 'bench';
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string, url: string) {
    this.#child = child;
    this.#folder = folder;
    this.url = url;
  }

  static async start(tmpDir: string, runtime: Runtime, replicas: number): Promise<LocalTarget> {
    const folder = await mkdtemp(path.join(tmpDir, 'warmpool-bench-'));
    const pool = {
      apiVersion: 'warmpool.dev/v1alpha1',
      kind: 'WarmPool',
      metadata: { name: 'bench', namespace: 'default' },
      spec: {
        runtime,
        replicas,
        template: {
          spec: { containers: [{ name: 'runtime', image: `warmpool.dev/runtime-${runtime.name}:${runtime.version}` }] },
        },
      },
    };
    await writeFile(path.join(folder, 'bench.yaml'), stringify(pool));
    const child = spawn(process.execPath, [LOCAL_MAIN, '--no-demo', '--port', '0', '--pools', folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return new LocalTarget(child, folder, await announcedUrl(child));
  }

  async pool(): Promise<PoolSummary> {
    const { body } = await request(`${this.url}/v1/pools`);
    const pool = poolListSchema.parse(await body.json()).items.find(({ name }) => name === this.poolName);
    if (pool === undefined) throw new Error('the pool of the benchmark is gone');
    return pool;
  }

  /** One exchange with the claim API that does nothing, after a pause as long as between claims. */
  async roundTripMs(): Promise<number> {
    await sleep(10);
    const startedMs = performance.now();
    const { body } = await request(`${this.url}/healthz`);
    await body.dump();
    return performance.now() - startedMs;
  }

  /** Until as many standby pods are there as the pool wants: a claim then meets a quiet machine. */
  async filled(): Promise<void> {
    const untilMs = performance.now() + LIMIT_MS;
    for (;;) {
      const { readyReplicas, replicas } = await this.pool();
      if (readyReplicas >= replicas) return;
      if (performance.now() > untilMs)
        throw new Error(`the pool has ${readyReplicas} of ${replicas} standby pods after ${LIMIT_MS / 1000} s`);
      await sleep(10);
    }
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function announcedUrl(child: ChildProcess): Promise<string> {
  let output = '';
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => reject(new Error(`local mode did not start within ${LIMIT_MS / 1000} s: ${output}`)),
    LIMIT_MS,
  );
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    const url = /The claim API is at (\S+),/.exec(output)?.[1];
    if (url !== undefined) resolve(url);
  });
  child.once('exit', (code) => reject(new Error(`local mode ended with ${code} before it served: ${output}`)));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
