import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Kubelet } from '@warmpool/local/kubelet/kubelet.ts';
import type { KubeletOptions } from '@warmpool/local/kubelet/kubelet.ts';
import { PODS } from '@warmpool/operator/core/resources.ts';
import type { Pod } from '@warmpool/operator/core/resources.ts';
import { systemClock } from '@warmpool/operator/engine/clock.ts';
import type { KubeClient, Stored } from '@warmpool/operator/engine/kube-client.ts';
import { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';

/** Stands in for a runtime-agent: opens its socket, then behaves as the pod's env says. */
const FAKE_AGENT = `
const { createServer } = require('node:net');
const { writeFileSync } = require('node:fs');
const behaviour = process.env.BEHAVIOUR;
if (behaviour === 'exit') { console.log('going'); process.exit(Number(process.env.CODE)); }
if (behaviour === 'give-up') {
  writeFileSync('termination.json', JSON.stringify({ reason: 'LifelineCut', message: 'The lifeline was cut.' }));
  process.exit(3);
}
if (behaviour === 'deaf') process.on('SIGTERM', () => {});
if (behaviour === 'parent') require('node:child_process').spawn('sleep', ['300'], { stdio: 'ignore' });
createServer().listen(process.env.WARMPOOL_SOCKET, () => {
  writeFileSync('env.json', JSON.stringify(process.env));
  if (behaviour === 'busy') for (;;);
});
process.stdin.resume();
`;
const RUNTIMES = [
  { name: 'fake', version: '1.2', command: [process.execPath, '-e', FAKE_AGENT] },
  { name: 'broken', version: '1', command: ['/nonexistent/interpreter'] },
  { name: 'absent', missing: 'absent not found: it is not installed' },
];
const NODE = 'local';

let podsDir: string;
let cluster: MemoryCluster;
let client: KubeClient;
let kubelet: Kubelet;
let groups: Set<number>;

function startKubelet(options: Partial<KubeletOptions> = {}): void {
  groups = new Set();
  const reaper = { add: (id: number) => void groups.add(id), remove: (id: number) => void groups.delete(id) };
  const deps = {
    client,
    clock: systemClock,
    random: Math.random,
    log: pino({ level: 'silent' }),
    reaper,
    runtimes: RUNTIMES,
  };
  kubelet = new Kubelet(deps, {
    nodeName: NODE,
    podsDir,
    hostEnv: { PATH: process.env['PATH'], HOME: '/home/somebody', SECRET_OF_THE_HOST: 'canary' },
    ...options,
  });
  kubelet.start();
}

beforeEach(async () => {
  podsDir = await mkdtemp(path.join(tmpdir(), 'kubelet-'));
  cluster = new MemoryCluster({ clock: systemClock, random: Math.random });
  client = cluster.client();
});
afterEach(async () => {
  await kubelet.stop();
  expect(await readdir(podsDir)).toEqual([]);
  expect([...groups]).toEqual([]);
  await rm(podsDir, { recursive: true });
});

interface PodWish {
  name?: string;
  image?: string;
  env?: Record<string, string>;
  nodeName?: string;
  graceSeconds?: number;
}

function createPod({ name = 'pod', image = 'example.test/runtime-fake:1', env = {}, nodeName, graceSeconds }: PodWish) {
  const envEntries = Object.entries(env).map(([name, value]) => ({ name, value }));
  return client.create<Pod>(PODS, 'default', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'runtime', image, env: envEntries }],
      ...(nodeName !== undefined && { nodeName }),
      ...(graceSeconds !== undefined && { terminationGracePeriodSeconds: graceSeconds }),
    },
  });
}

const getPod = (name = 'pod'): Promise<Stored<Pod>> => client.get<Pod>(PODS, 'default', name);
const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
const folderOf = (pod: Stored<Pod>): string => path.join(podsDir, pod.metadata.uid);

async function until<T>(what: string, look: () => Promise<T | undefined | false>, limitMs = 10_000): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
const untilReady = (name = 'pod'): Promise<Stored<Pod>> =>
  until(`${name} is ready`, async () => {
    const pod = await getPod(name);
    return isReady(pod) && pod;
  });
const untilPhase = (phase: string, name = 'pod'): Promise<Stored<Pod>> =>
  until(`${name} is ${phase}`, async () => {
    const pod = await getPod(name);
    return pod.status?.phase === phase && pod;
  });
const untilGone = (name = 'pod', limitMs?: number): Promise<true> =>
  until(
    `${name} is gone`,
    () =>
      getPod(name).then(
        () => false as const,
        () => true as const,
      ),
    limitMs,
  );

/** Processes of a group that still run: one that is dead but not yet collected by its parent does not count. */
async function runningIn(groupId: number): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  return stats.filter((stat) => {
    const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(group) === groupId && state !== 'Z';
  }).length;
}
async function canConnect(socketPath: string): Promise<boolean> {
  const socket = connect(socketPath);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
const onlyGroup = (): number => {
  expect(groups.size).toBe(1);
  return [...groups][0] ?? 0;
};

describe('a pod on the process kubelet', () => {
  it('is bound to the node, runs, and is ready when the agent opens its socket', async () => {
    startKubelet();
    await createPod({});
    const pod = await untilReady();
    expect(pod.spec.nodeName).toBe(NODE);
    expect(pod.status).toMatchObject({ phase: 'Running', podIP: '127.0.0.1' });
    expect(pod.status?.containerStatuses).toMatchObject([{ name: 'runtime', restartCount: 0, ready: true }]);
    const file = JSON.parse(await readFile(path.join(folderOf(pod), 'pod.json'), 'utf8')) as { port: number };
    expect(file).toEqual({
      podUid: pod.metadata.uid,
      namespace: 'default',
      name: 'pod',
      runtime: { name: 'fake', version: '1' },
      host: '127.0.0.1',
      port: expect.any(Number) as number,
    });
    // a socket's file is there a moment before it accepts connections
    await until('the agent answers', () => canConnect(path.join(folderOf(pod), 'agent.sock')));
  });

  it('sees of the host nothing but the allow-list, and its own env beside the launch contract', async () => {
    startKubelet();
    const runtime = { WARMPOOL_RUNTIME_NAME: 'fake', WARMPOOL_RUNTIME_VERSION: '1.2' };
    const stolen = { WARMPOOL_SOCKET: '/tmp/stolen.sock', WARMPOOL_PRE_IMPORT: 'json', LEVEL: 'debug' };
    await createPod({ image: 'anything', env: { ...runtime, ...stolen } });
    const pod = await untilReady();
    const env = await until('env.json', () =>
      readFile(path.join(folderOf(pod), 'env.json'), 'utf8').then(
        (text) => JSON.parse(text) as Record<string, string>,
        () => undefined,
      ),
    );
    expect(env).toEqual({
      PATH: process.env['PATH'],
      HOME: '/home/somebody',
      LEVEL: 'debug',
      WARMPOOL_SOCKET: path.join(folderOf(pod), 'agent.sock'),
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: expect.stringMatching(/^2\d{4}$/) as string,
      WARMPOOL_RUNTIME_NAME: 'fake',
      WARMPOOL_RUNTIME_VERSION: '1.2',
      WARMPOOL_PRE_IMPORT: 'json',
      WARMPOOL_REHEARSE: '1',
      WARMPOOL_LIFELINE: '1',
    });
  });

  it('of another node is left alone', async () => {
    startKubelet();
    await createPod({ name: 'theirs', nodeName: 'elsewhere' });
    await createPod({ name: 'ours', nodeName: NODE });
    await untilReady('ours');
    expect((await getPod('theirs')).status).toEqual({ phase: 'Pending' });
    expect(groups.size).toBe(1);
  });

  it('has a port that no other pod has', async () => {
    startKubelet();
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) await createPod({ name });
    const pods = await Promise.all(names.map((name) => untilReady(name)));
    const ports = await Promise.all(
      pods.map(
        async (pod) =>
          (JSON.parse(await readFile(path.join(folderOf(pod), 'pod.json'), 'utf8')) as { port: number }).port,
      ),
    );
    expect(new Set(ports).size).toBe(names.length);
  });
});

describe('a pod whose process ends', () => {
  it.each([
    [{ BEHAVIOUR: 'exit', CODE: '0' }, 'Succeeded', 'Completed', 'The process ended by itself.'],
    [{ BEHAVIOUR: 'exit', CODE: '7' }, 'Failed', 'Error', 'The process ended with exit code 7.'],
    [{ BEHAVIOUR: 'exit', CODE: '134' }, 'Failed', 'Error', 'The process ended with exit code 134.'],
    [{ BEHAVIOUR: 'give-up' }, 'Failed', 'LifelineCut', 'The process ended with exit code 3. The lifeline was cut.'],
  ])('%o: is %s with reason %s', async (env, phase, reason, message) => {
    startKubelet();
    await createPod({ env });
    const pod = await untilPhase(phase);
    expect(pod.status).toMatchObject({ reason, message });
    expect(isReady(pod)).toBe(false);
  });

  it('keeps its output until the pod is deleted', async () => {
    startKubelet();
    await createPod({ env: { BEHAVIOUR: 'exit', CODE: '1' } });
    const pod = await untilPhase('Failed');
    expect(await readFile(path.join(folderOf(pod), 'stdout.log'), 'utf8')).toBe('going\n');
    await client.delete(PODS, 'default', 'pod');
    await until('the folder is gone', async () => !existsSync(folderOf(pod)));
  });

  it('by kill -9 is Failed in words, is not ready, and its socket is gone', async () => {
    startKubelet();
    await createPod({});
    const ready = await untilReady();
    process.kill(onlyGroup(), 'SIGKILL');
    const pod = await untilPhase('Failed');
    expect(pod.status?.message).toMatch(/killed by SIGKILL from outside/);
    expect(isReady(pod)).toBe(false);
    expect(existsSync(path.join(folderOf(ready), 'agent.sock'))).toBe(false);
  });

  it.each([
    [
      'example.test/runtime-ruby:3',
      'RuntimeUnknown',
      'There is no runtime ruby here; known are: fake, broken, absent.',
    ],
    ['example.test/runtime-fake:2', 'RuntimeVersionMissing', 'This machine has fake 1.2, not 2.'],
    ['example.test/runtime-absent:1', 'RuntimeMissing', 'absent not found: it is not installed'],
    ['example.test/web:1', 'RuntimeNotNamed', 'names no runtime'],
    ['example.test/runtime-broken:1', 'StartError', 'spawn /nonexistent/interpreter ENOENT'],
  ])('of the image %s fails with %s', async (image, reason, message) => {
    startKubelet();
    await createPod({ image });
    const pod = await untilPhase('Failed');
    expect(pod.status?.reason).toBe(reason);
    expect(pod.status?.message).toContain(message);
    await client.delete(PODS, 'default', 'pod');
    await untilGone();
  });
});

describe('deleting a pod', () => {
  it.each([
    ['ends it', undefined, [], 'The process was ended by SIGTERM.'],
    ['kills it, as it is deaf', 'deaf', [], 'The pod was deleted, and its process killed.'],
    ['finds that it was killed just before', undefined, ['SIGKILL'], 'The process was killed by SIGKILL from'],
  ] as const)('says what its process ended with before the object goes: %s', async (_, behaviour, signals, message) => {
    startKubelet();
    await createPod({ graceSeconds: 1, env: behaviour === undefined ? {} : { BEHAVIOUR: behaviour } });
    await untilReady();
    const last: (Pod['status'] | undefined)[] = [];
    cluster.onChange(({ object }) => last.splice(0, 1, (object as Pod).status));
    for (const signal of signals) process.kill(onlyGroup(), signal);
    await client.delete(PODS, 'default', 'pod');
    await untilGone();
    expect(last).toEqual([
      expect.objectContaining({ phase: 'Failed', message: expect.stringContaining(message) as string }),
    ]);
  });

  it('ends its process and takes away folder and object', async () => {
    startKubelet();
    await createPod({});
    const pod = await untilReady();
    await client.delete(PODS, 'default', 'pod');
    await untilGone();
    expect(existsSync(folderOf(pod))).toBe(false);
    expect(groups.size).toBe(0);
  });

  it.each(['deaf', 'busy'])('kills a %s process after its grace period', async (behaviour) => {
    startKubelet();
    await createPod({ env: { BEHAVIOUR: behaviour }, graceSeconds: 1 });
    await untilReady();
    const startMs = performance.now();
    await client.delete(PODS, 'default', 'pod');
    await untilGone('pod', 5000);
    // a busy process has no SIGTERM handler and ends at once; a deaf one needs the kill
    if (behaviour === 'deaf') expect(performance.now() - startMs).toBeGreaterThan(900);
  });

  it('with a shorter grace after a longer one does not wait for the longer one', async () => {
    startKubelet();
    await createPod({ env: { BEHAVIOUR: 'deaf' }, graceSeconds: 60 });
    await untilReady();
    await client.delete(PODS, 'default', 'pod');
    await client.delete(PODS, 'default', 'pod', { gracePeriodSeconds: 1 });
    await untilGone('pod', 5000);
  });

  it('without grace kills at once, also what the process has started', async () => {
    startKubelet();
    await createPod({ env: { BEHAVIOUR: 'parent' } });
    await untilReady();
    const group = onlyGroup();
    await until('it has a child', async () => (await runningIn(group)) === 2);
    await client.delete(PODS, 'default', 'pod', { gracePeriodSeconds: 0 });
    await until('the group is gone', async () => (await runningIn(group)) === 0, 2000);
  });

  it('before its turn to boot starts nothing', async () => {
    startKubelet({ bootYieldMs: 60_000 });
    kubelet.pause();
    await createPod({});
    await until('the pod is bound', async () => (await getPod()).spec.nodeName === NODE);
    await client.delete(PODS, 'default', 'pod');
    await untilGone();
    kubelet.resume();
    await createPod({ name: 'next' });
    await untilReady('next');
    expect(groups.size).toBe(1);
  });
});

describe('booting while claims are in flight', () => {
  it('waits for them', async () => {
    startKubelet({ bootYieldMs: 60_000 });
    kubelet.pause();
    await createPod({});
    await until('the pod is bound', async () => (await getPod()).spec.nodeName === NODE);
    expect(groups.size).toBe(0);
    kubelet.resume();
    await untilReady();
  });

  it('is delayed by the limit at most when claims never stop', async () => {
    startKubelet({ bootYieldMs: 100 });
    kubelet.pause();
    await createPod({});
    await untilReady();
  });

  it('stops and continues what is booting already, and a stopped pod can be deleted', async () => {
    startKubelet({ bootYieldMs: 60_000 });
    await createPod({ name: 'slow' });
    const group = await until('a process', async () => [...groups][0]);
    kubelet.pause();
    const state = async (): Promise<string> => (await readFile(`/proc/${group}/stat`, 'utf8')).split(' ')[2] ?? '';
    await until('it is stopped', async () => (await state()) === 'T');
    await client.delete(PODS, 'default', 'slow');
    await untilGone('slow', 5000);
  });
});

describe('a supervisor that is killed', () => {
  it('takes every pod with it, a busy one too, and leaves no folder', async () => {
    startKubelet();
    const module = (file: string): string => JSON.stringify(fileURLToPath(new URL(`../../${file}`, import.meta.url)));
    const supervisor = `
      import { Kubelet } from ${module('local/kubelet/kubelet.ts')};
      import { Reaper } from ${module('local/reaper/reaper.ts')};
      import { createRunDir } from ${module('local/run-dir.ts')};
      import { MemoryCluster } from ${module('operator/memory/memory-cluster.ts')};
      import { systemClock as clock } from ${module('operator/engine/clock.ts')};
      const random = Math.random;
      const client = new MemoryCluster({ clock, random }).client();
      const log = { warn: console.error, error: console.error };
      const run = await createRunDir(${JSON.stringify(podsDir)});
      const reaper = await Reaper.start(run.path, log);
      const pids = [];
      const tap = { add: (id) => { pids.push(id); reaper.add(id); }, remove: (id) => reaper.remove(id) };
      const deps = { client, clock, random, log, reaper: tap, runtimes: ${JSON.stringify(RUNTIMES)} };
      new Kubelet(deps, { nodeName: 'local', podsDir: run.podsDir, hostEnv: process.env }).start();
      const PODS = { group: '', version: 'v1', plural: 'pods', kind: 'Pod' };
      const behaviours = ['calm', 'busy', 'parent'];
      for (const name of behaviours) {
        const env = [{ name: 'BEHAVIOUR', value: name }];
        const containers = [{ name: 'runtime', image: 'runtime-fake:1', env }];
        await client.create(PODS, 'default', { metadata: { name }, spec: { containers } });
      }
      const timer = setInterval(async () => {
        const { items } = await client.list(PODS, 'default');
        const ready = items.filter((pod) => pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
        if (ready.length < behaviours.length) return;
        clearInterval(timer);
        console.log(JSON.stringify({ pids, runDir: run.path }));
      }, 20);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', supervisor], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = await Promise.race([
      once(createInterface(child.stdout), 'line') as Promise<[string]>,
      once(child, 'exit').then(() => Promise.reject(new Error('the supervisor ended by itself'))),
    ]);
    const { pids, runDir } = JSON.parse(line[0]) as { pids: number[]; runDir: string };
    expect(pids).toHaveLength(3);
    for (const pid of pids) expect(await runningIn(pid)).toBeGreaterThan(0);
    child.kill('SIGKILL');
    const isClean = async (): Promise<boolean> => {
      const running = await Promise.all(pids.map(runningIn));
      return running.every((count) => count === 0) && !existsSync(runDir);
    };
    await until('all processes and the folder are gone', isClean, 2000);
  });
});
