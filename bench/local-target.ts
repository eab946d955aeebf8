import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ClaimRequestInput } from '@warmpool/protocol/claim-api.ts';
import { claimFor } from '@warmpool/local/claim-client.ts';
import { coldStart } from '@warmpool/local/cold-start/cold-start.ts';
import type { PackedFunction } from '@warmpool/local/pack-functions.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { stringify } from 'yaml';
import { poolNamed } from './pool-summary.ts';
import type { BenchTarget } from './target.ts';

const LOCAL_MAIN = fileURLToPath(import.meta.resolve('@warmpool/local/main.ts'));
const LIMIT_MS = 120_000;

/** The function that is claimed, and what starts it without the platform. */
export interface Subject {
  fn: PackedFunction;
  runtime: PresentRuntime;
  env: Readonly<Record<string, string | undefined>>;
}

/** Local mode with one pool, as a process of its own: what is measured shares no event loop with what measures. */
export class LocalTarget implements BenchTarget {
  readonly url: string;
  readonly poolName = 'bench';
  readonly namespace = 'default';
  readonly headers = {};
  readonly emptyPath = '/healthz';
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #subject: Subject;

  private constructor(child: ChildProcess, folder: string, url: string, subject: Subject) {
    this.#subject = subject;
    this.#child = child;
    this.#folder = folder;
    this.url = url;
  }

  static async start(tmpDir: string, subject: Subject, replicas: number): Promise<LocalTarget> {
    const { runtime } = subject.fn.function;
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
    return new LocalTarget(child, folder, await announcedUrl(child), subject);
  }

  async filled(): Promise<void> {
    const untilMs = performance.now() + LIMIT_MS;
    for (;;) {
      const { readyReplicas, replicas } = await poolNamed(this.poolName, this.url);
      if (readyReplicas >= replicas) return;
      if (performance.now() > untilMs)
        throw new Error(`the pool has ${readyReplicas} of ${replicas} standby pods after ${LIMIT_MS / 1000} s`);
      await sleep(10);
    }
  }

  quiet(): Promise<void> {
    return this.filled();
  }

  claimRequest(claimId: string): ClaimRequestInput {
    return claimFor(this.#subject.fn, claimId);
  }

  coldStart(): Promise<{ firstResponseMs: number; importMs: number }> {
    const { fn, runtime, env } = this.#subject;
    return coldStart(fn, runtime, env);
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
