import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AdminApi } from '../apiserver/admin-api.ts';
import type { ControlPlaneAccess } from '../apiserver/control-plane.ts';
import { apiserverFlags, controllerManagerFlags, etcdFlags, schedulerFlags } from './control-plane-flags.ts';
import { APISERVER_PORT, type Credentials, makeCredentials, NODE_NAME } from './credentials.ts';
import { CONTAINERD_SOCKET, containerdFlags, kubeletFlags, proxyFlags } from './node-flags.ts';
import { NodeProgram } from './node/node-program.ts';
import { startTestNode, type TestNode } from './node/test-node.ts';

export const CLUSTER_BINARIES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
] as const;

const CONTROL_PLANE = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];

export type ClusterBinary = (typeof CLUSTER_BINARIES)[number];

export interface Cluster extends ControlPlaneAccess {
  kubeconfig: string;
  node: TestNode;
  program(name: ClusterBinary | 'containerd'): NodeProgram;
  stop(): Promise<void>;
}

const READY_LIMIT_MS = 120_000;
const IMPORT_LIMIT_MS = 120_000;
const run = promisify(execFile);

/** A Kubernetes cluster of one node on this machine, with the images of `imageArchives` on it. */
export async function startCluster(binaries: Record<ClusterBinary, string>, imageArchives: string[]): Promise<Cluster> {
  const node = await startTestNode();
  const programs = new Map<string, NodeProgram>();
  const stop = async (): Promise<void> => {
    for (const program of programs.values()) program.leave();
    await node.stop();
  };
  const start = async (name: ClusterBinary | 'containerd', flags: string[]): Promise<NodeProgram> => {
    const path = name === 'containerd' ? name : binaries[name];
    const slice = CONTROL_PLANE.includes(name) ? 'control-plane' : 'system';
    const program = await NodeProgram.start(node, name, [path, ...flags], slice);
    programs.set(name, program);
    return program;
  };
  try {
    const credentials = await makeCredentials(join(node.folder, 'credentials'), node.network);
    const access = {
      url: `https://${node.network.nodeIp}:${APISERVER_PORT}`,
      token: credentials.adminToken,
      caPem: credentials.caPem,
    };
    await Promise.all([
      startControlPlane(start, node, credentials, access),
      startContainers(start, node, imageArchives),
    ]);
    const kubelet = await start('kubelet', await kubeletFlags(node, credentials));
    await start('kube-proxy', proxyFlags(node, credentials));
    await using admin = new AdminApi(access);
    await kubelet.until(() => isNodeReady(admin), READY_LIMIT_MS);
    const program = (name: string): NodeProgram => {
      const found = programs.get(name);
      if (found === undefined) throw new Error(`${name} is not a program of the test cluster`);
      return found;
    };
    return { ...access, kubeconfig: credentials.kubeconfigs.admin, node, program, stop };
  } catch (error) {
    await keepLogs(node);
    await stop();
    throw error;
  }
}

type StartProgram = (name: ClusterBinary | 'containerd', flags: string[]) => Promise<NodeProgram>;

async function startControlPlane(
  start: StartProgram,
  node: TestNode,
  credentials: Credentials,
  access: ControlPlaneAccess,
): Promise<void> {
  await start('etcd', etcdFlags(node.folder));
  const apiserver = await start('kube-apiserver', apiserverFlags(credentials, node.network));
  await using admin = new AdminApi(access);
  await apiserver.until(async () => (await admin.send('GET', '/readyz')).status === 200, READY_LIMIT_MS);
  await start('kube-controller-manager', controllerManagerFlags(credentials, node.network));
  await start('kube-scheduler', schedulerFlags(credentials));
}

async function startContainers(start: StartProgram, node: TestNode, imageArchives: string[]): Promise<void> {
  const containerd = await start('containerd', await containerdFlags(node));
  const ctr = async (...args: string[]): Promise<void> => {
    const [program, ...rest] = node.inside(['ctr', '--address', CONTAINERD_SOCKET, '--namespace', 'k8s.io', ...args]);
    await run(program, rest, { timeout: IMPORT_LIMIT_MS });
  };
  await containerd.until(async () => {
    await ctr('version');
    return true;
  }, READY_LIMIT_MS);
  for (const archive of imageArchives) await ctr('images', 'import', archive);
}

interface NodeObject {
  status?: { conditions?: { type: string; status: string }[] };
}

async function isNodeReady(admin: AdminApi): Promise<boolean> {
  const { body } = await admin.send('GET', `/api/v1/nodes/${NODE_NAME}`);
  const conditions = (body as NodeObject).status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** What a person needs who wants to know why: its folder is gone with the node. */
async function keepLogs(node: TestNode): Promise<void> {
  const kept = await mkdtemp(join(tmpdir(), 'warmpool-logs-'));
  for (const file of await readdir(node.folder)) {
    if (file.endsWith('.log')) await cp(join(node.folder, file), join(kept, file));
  }
  process.stderr.write(`the cluster's logs are in ${kept}\n`);
}
