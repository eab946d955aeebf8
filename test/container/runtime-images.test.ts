import { execFile } from 'node:child_process';
import { cp, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { getContainerRuntimeClient, type StartedTestContainer } from 'testcontainers';
import { afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { until } from '../cluster/kubectl.ts';
import { type Answer, send } from '../contract/runtime-agent/socket-client.ts';
import { makeShared, RestrictedContainer } from './restricted-container.ts';
import { useEngine } from './use-engine.ts';

const engine = inject('engine');
const LIMIT_MS = 60_000;
const MIB = 1024 ** 2;
const run = promisify(execFile);
const functions = join(import.meta.dirname, 'functions');

interface Runtime {
  name: string;
  version: string;
  handler: string;
  memoryMib: number;
  env?: Record<string, string>;
  /** Languages that compile. */
  prepare?: (folder: string) => Promise<unknown>;
  /** Whether the agent outlives the process that ran out of memory, and can tell. */
  answersAfterOom: boolean;
}

const RUNTIMES: Runtime[] = [
  { name: 'nodejs', version: '24', handler: 'inside.handler', memoryMib: 160, answersAfterOom: false },
  { name: 'python', version: '3.11', handler: 'inside.handler', memoryMib: 96, answersAfterOom: true },
  {
    name: 'java',
    version: '17',
    handler: 'Inside.handle',
    memoryMib: 160,
    // it does not start when the image's class archive does not fit its jar or its JVM; and lets buffers take more than the container has
    env: { WARMPOOL_JAVA_OPTIONS: '-Xshare:on -XX:MaxDirectMemorySize=1g' },
    prepare: (folder) => run('javac', ['-d', folder, join(functions, 'java/Inside.java')]),
    answersAfterOom: false,
  },
];

describe.skipIf(engine === undefined).each(RUNTIMES)('the image of the $name runtime', (runtime) => {
  const { name, version } = runtime;
  const image = `warmpool.dev/runtime-${name}:${version}`;
  const started: StartedTestContainer[] = [];
  let code: string;

  beforeAll(async () => {
    if (engine === undefined) return;
    useEngine(engine);
    code = await makeShared(engine.folder, `code-${name}`);
    if (runtime.prepare === undefined) await cp(join(functions, name), code, { recursive: true });
    else await runtime.prepare(code);
  });
  afterEach(async () => {
    for (const each of started.splice(0)) await each.stop({ timeout: 0, remove: true });
  });

  async function aStandby(): Promise<{ container: StartedTestContainer; folder: string; socketPath: string }> {
    const folder = await makeShared(engine?.folder ?? '', crypto.randomUUID());
    const socketPath = join(folder, 'agent.sock');
    const container = await new RestrictedContainer(image, { memoryBytes: runtime.memoryMib * MIB, cpus: 1 })
      .withBindMounts([
        { source: folder, target: '/run/warmpool', mode: 'rw' },
        { source: code, target: '/run/warmpool/code', mode: 'ro' },
      ])
      .withEnvironment({
        WARMPOOL_SOCKET: '/run/warmpool/agent.sock',
        WARMPOOL_HOST: '127.0.0.1',
        WARMPOOL_PORT: '8080',
        WARMPOOL_RUNTIME_NAME: name,
        WARMPOOL_RUNTIME_VERSION: version,
        ...runtime.env,
      })
      .start();
    started.push(container);
    await until('the agent to be standby', LIMIT_MS, async () => {
      if (!existsSync(socketPath)) throw new Error(await outputOf(container));
      const health = await send({ socketPath }, { method: 'GET', path: '/v1/health' });
      return (health.json as { state?: string }).state === 'standby';
    });
    return { container, folder, socketPath };
  }

  const load = (socketPath: string): Promise<Answer> =>
    send(
      { socketPath },
      {
        path: '/v1/load',
        body: {
          claimId: 'claim-1',
          fence: 1,
          function: { name: 'inside', version: '1', tenant: 'acme' },
          runtime: { name, version },
          kind: 'handler',
          handler: runtime.handler,
          code: { path: '/run/warmpool/code', digest: `sha256:${'a'.repeat(64)}` },
          env: {},
          service: {},
          limits: { requestTimeoutMs: LIMIT_MS, initTimeoutMs: LIMIT_MS },
        },
        timeoutMs: LIMIT_MS,
      },
    );
  const invoke = (socketPath: string, act: string): Promise<Answer> =>
    send({ socketPath }, { path: '/v1/invoke', body: { act }, timeoutMs: LIMIT_MS });

  test('serves a function as nobody, with a read-only root, no capability and no network', async () => {
    const { socketPath } = await aStandby();
    const loaded = await load(socketPath);
    expect([loaded.statusCode, loaded.json]).toMatchObject([200, {}]);
    expect(await invoke(socketPath, 'looksAround')).toMatchObject({
      statusCode: 200,
      json: { user: 65532, capabilities: '0'.repeat(16), interfaces: ['lo'], root: 'EROFS', code: 'EROFS' },
    });
  });

  test('ends with 0 while standby when it is told to stop', async () => {
    const { container } = await aStandby();
    await container.stop({ timeout: LIMIT_MS, remove: false });
    expect(await stateOf(container)).toMatchObject({ ExitCode: 0, OOMKilled: false });
  });

  test('a function that takes more memory than there is ends, and its end says why', async () => {
    const { container, folder, socketPath } = await aStandby();
    expect(await load(socketPath)).toMatchObject({ statusCode: 200 });
    const answer = await invoke(socketPath, 'takesAllMemory').catch(() => undefined);
    await until('the container to end', LIMIT_MS, async () => (await stateOf(container)).Running === false);
    if (!runtime.answersAfterOom) {
      // the agent was in that process: from here the kubelet's `OOMKilled` becomes the claim's error (operator/core/stall.ts)
      expect(answer).toBeUndefined();
      return expect(await stateOf(container)).toMatchObject({ ExitCode: 137, OOMKilled: true });
    }
    const words = expect.stringContaining(`ran out of memory, its limit is ${runtime.memoryMib} MiB`) as string;
    expect(answer).toMatchObject({ statusCode: 502, json: { message: words } });
    const termination = JSON.parse(await readFile(join(folder, 'termination.json'), 'utf8')) as object;
    expect(termination).toMatchObject({ reason: 'Crashed', message: words });
  });
});

interface ContainerState {
  Running: boolean;
  ExitCode: number;
  OOMKilled: boolean;
}

async function stateOf(container: StartedTestContainer): Promise<ContainerState> {
  const client = await getContainerRuntimeClient();
  return (await client.container.inspect(client.container.getById(container.getId()))).State;
}

async function outputOf(container: StartedTestContainer): Promise<string> {
  const { container: containers } = await getContainerRuntimeClient();
  const said = await containers.getById(container.getId()).logs({ stdout: true, stderr: true, tail: 20 });
  return `the container said: ${said.toString('utf8')}`;
}
