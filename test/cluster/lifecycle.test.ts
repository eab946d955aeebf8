import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { describe, expect, inject, test } from 'vitest';
import { processesOf } from '../support/run-processes.ts';
import { startCluster } from './cluster.ts';
import { Kubectl, until } from './kubectl.ts';
import { startTestNode } from './node/test-node.ts';

const access = inject('cluster');
const own = access?.own;
const run = promisify(execFile);
const GONE_LIMIT_MS = 20_000;

/** What a node could leave on this machine. Other nodes may come and go meanwhile, so each is asked for by its own name. */
function traces(folder: string): string[] {
  const name = folder.slice(folder.lastIndexOf('/') + 1);
  const hierarchies = readdirSync('/sys/fs/cgroup', { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  // with cgroup v2 there is one, and no folder for it
  const groups = [
    ...hierarchies,
    ...hierarchies.flatMap((folder) => readdirSync(folder).map((group) => join(folder, group))),
  ];
  return [
    ...processesOf(folder).map(({ command }) => `process ${command}`),
    ...readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(name)),
    ...groups.filter((group) => group.endsWith(`/${name}`)),
    ...readdirSync(tmpdir()).filter((file) => file === name),
  ];
}

async function linkExists(hostIp: string): Promise<boolean> {
  const { stdout } = await run('ip', ['-oneline', 'address', 'show']);
  return stdout.includes(` ${hostIp}/`);
}

describe.skipIf(own === undefined)('a cluster of this machine', () => {
  test.for([1, 2, 3])('comes up with a pod on it and goes without a trace, time %i', async () => {
    if (access === undefined || own === undefined) return;
    const cluster = await startCluster(own.binaries, [own.pauseArchive]);
    const { folder, network } = cluster.node;
    try {
      const kubectl = new Kubectl({ kubectl: access.kubectl, kubeconfig: cluster.kubeconfig });
      const containers = [{ name: 'pause', image: 'warmpool.test/pause:1', imagePullPolicy: 'Never' }];
      await until('the default service account', GONE_LIMIT_MS, async () => {
        await kubectl.run(['get', 'serviceaccount', 'default']);
        return true;
      });
      await kubectl.apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p', namespace: 'default' },
        spec: { containers },
      });
      await kubectl.run(['wait', 'pod/p', '--for=condition=Ready', '--timeout=60s']);
      expect(traces(folder).length).toBeGreaterThan(0);
    } finally {
      await cluster.stop();
    }
    await until('every trace to be gone', GONE_LIMIT_MS, () => Promise.resolve(traces(folder).length === 0));
    expect(await linkExists(network.hostIp)).toBe(false);
  });

  test('goes without a trace when the process that started it is killed', async () => {
    const { child, folder, hostIp } = await aNodeOfAnotherProcess();
    child.kill('SIGKILL');
    await until('every trace to be gone', GONE_LIMIT_MS, async () => {
      return traces(folder).length === 0 && !(await linkExists(hostIp));
    });
  });

  test('is removed by the next start when its supervisor was killed too', async () => {
    const { child, folder, hostIp } = await aNodeOfAnotherProcess();
    const [supervisor] = readFileSync(join(folder, 'supervisor'), 'utf8').split(' ');
    process.kill(Number(supervisor), 'SIGKILL');
    child.kill('SIGKILL');
    await until('its supervisor to be gone', GONE_LIMIT_MS, () =>
      Promise.resolve(!processesOf(folder).some(({ command }) => command.includes('supervise.sh'))),
    );
    expect(traces(folder).length).toBeGreaterThan(0);
    const next = await startTestNode();
    await next.stop();
    await until('every trace to be gone', GONE_LIMIT_MS, async () => {
      return traces(folder).length === 0 && !(await linkExists(hostIp));
    });
  });
});

async function aNodeOfAnotherProcess(): Promise<{ child: ReturnType<typeof spawn>; folder: string; hostIp: string }> {
  const module = new URL('./node/test-node.ts', import.meta.url).href;
  const script = `
    const { startTestNode } = await import(${JSON.stringify(module)});
    const { folder, network } = await startTestNode();
    console.log(folder, network.hostIp);
    setInterval(() => {}, 60_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    const [folder = '', hostIp = ''] = line.split(' ');
    if (!folder.includes('warmpool-cluster-')) continue;
    lines.close();
    return { child, folder, hostIp };
  }
  await once(child, 'exit');
  throw new Error('the other process ended without a node');
}
