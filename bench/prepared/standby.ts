import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, request } from 'undici';
import { loadReplySchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { PackedFunction } from '@warmpool/local/pack-functions.ts';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';

const LIMIT_MS = 60_000;
/** After standby, for what its boot left to do. */
const SETTLE_MS = 50;

export interface LoadSample {
  importMs: number;
  loadMs: number;
  firstResponseMs: number;
  /** Of the main thread, for both. */
  cpuMs: number;
}

/** One load of the tree, and its first answer, in a standby process of its own. */
export async function loadOnce(fn: PackedFunction, runtime: PresentRuntime, treeDir: string): Promise<LoadSample> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'warmpool-prepared-'));
  const socketPath = path.join(folder, 'agent.sock');
  const port = await freePort();
  const [program = '', ...args] = runtime.command;
  const child = spawn(program, args, {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: {
      PATH: process.env['PATH'],
      WARMPOOL_SOCKET: socketPath,
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: String(port),
      WARMPOOL_RUNTIME_NAME: runtime.name,
      WARMPOOL_RUNTIME_VERSION: runtime.version,
      WARMPOOL_LIFELINE: '1',
    },
  });
  const exited = once(child, 'exit');
  const agent = new Client('http://runtime-agent', { socketPath });
  try {
    const untilMs = performance.now() + LIMIT_MS;
    while (!existsSync(socketPath)) {
      if (performance.now() > untilMs || child.exitCode !== null) throw new Error(`${runtime.name} did not boot`);
      await sleep(5);
    }
    await (await agent.request({ method: 'GET', path: '/v1/health' })).body.dump();
    await sleep(SETTLE_MS);
    const cpuBefore = await cpuMs(child.pid);
    const startedMs = performance.now();
    const reply = await agent.request({
      ...{ method: 'POST', path: '/v1/load', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify(loadBody(fn, runtime, treeDir)),
    });
    const { timings } = loadReplySchema.parse(await reply.body.json());
    const loadedMs = performance.now();
    const { method, path: route, body } = fn.function.invoke;
    const answer = await request(`http://127.0.0.1:${port}${route}`, {
      method,
      ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    await answer.body.dump();
    if (answer.statusCode !== fn.function.invoke.expect.status) {
      throw new Error(`${fn.function.name} answered ${answer.statusCode}`);
    }
    return {
      importMs: timings.importMs,
      loadMs: loadedMs - startedMs,
      firstResponseMs: performance.now() - loadedMs,
      cpuMs: (await cpuMs(child.pid)) - cpuBefore,
    };
  } finally {
    await agent.destroy();
    child.kill('SIGKILL');
    await exited;
    await rm(folder, { recursive: true, force: true });
  }
}

function loadBody({ function: fn }: PackedFunction, { name, version }: PresentRuntime, treeDir: string): object {
  return {
    claimId: 'measured',
    fence: 1,
    function: { name: fn.name, version: '1', tenant: 'bench' },
    runtime: { name, version },
    kind: fn.kind,
    handler: fn.handler,
    code: { path: treeDir, digest: `sha256:${'0'.repeat(64)}` },
    env: fn.env,
    service: {},
    limits: { requestTimeoutMs: LIMIT_MS, initTimeoutMs: LIMIT_MS },
  };
}

/** Of all threads and children: Python's function is a child of the agent. */
async function cpuMs(pid: number | undefined): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8'))
    .split(' ')
    .filter((each) => each !== '');
  const spent = await Promise.all(
    [String(pid), ...children].map(async (each) => {
      const [ns = '0'] = (await readFile(`/proc/${each}/schedstat`, 'utf8')).split(' ');
      return Number(ns) / 1e6;
    }),
  );
  return spent.reduce((sum, ms) => sum + ms, 0);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return address !== null && typeof address === 'object' ? address.port : 0;
}
