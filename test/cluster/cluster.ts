import { join } from 'node:path';
import { AdminApi } from '../apiserver/admin-api.ts';
import type { ControlPlaneAccess } from '../apiserver/control-plane.ts';
import { apiserverFlags, controllerManagerFlags, etcdFlags, schedulerFlags } from './control-plane-flags.ts';
import { APISERVER_PORT, type Credentials, makeCredentials } from './credentials.ts';
import { type ClusterBinary, NodePrograms, READY_LIMIT_MS } from './node-programs.ts';
import type { NodeProgram } from './node/node-program.ts';
import { startTestNode, type TestNode } from './node/test-node.ts';

export interface Cluster extends ControlPlaneAccess {
  kubeconfig: string;
  node: TestNode;
  program(name: ClusterBinary | 'containerd'): NodeProgram;
  stop(): Promise<void>;
}

/** A Kubernetes cluster of one node on this machine, with the images of `imageArchives` on it. */
export async function startCluster(binaries: Record<ClusterBinary, string>, imageArchives: string[]): Promise<Cluster> {
  const node = await startTestNode();
  const programs = new NodePrograms(node, binaries);
  const stop = (): Promise<void> => programs.stop();
  try {
    const credentials = await makeCredentials(credentialsFolder(node.folder), node.network);
    const access = {
      url: `https://${node.network.apiserverIp}:${APISERVER_PORT}`,
      token: credentials.adminToken,
      caPem: credentials.caPem,
    };
    await Promise.all([
      startControlPlane(programs, node, credentials, access),
      programs.startContainers(imageArchives),
    ]);
    await using admin = new AdminApi(access);
    await programs.startKubelet(credentials.node, () => isNodeReady(admin, credentials.node.nodeName));
    const program = (name: string): NodeProgram => programs.get(name);
    return { ...access, kubeconfig: credentials.kubeconfigs.admin, node, program, stop };
  } catch (error) {
    await programs.keepLogs();
    await stop();
    throw error;
  }
}

export function credentialsFolder(nodeFolder: string): string {
  return join(nodeFolder, 'credentials');
}

async function startControlPlane(
  programs: NodePrograms,
  node: TestNode,
  credentials: Credentials,
  access: ControlPlaneAccess,
): Promise<void> {
  await programs.start('etcd', etcdFlags(node.folder));
  const apiserver = await programs.start('kube-apiserver', apiserverFlags(credentials, node.network));
  await using admin = new AdminApi(access);
  await apiserver.until(async () => (await admin.send('GET', '/readyz')).status === 200, READY_LIMIT_MS);
  await programs.start('kube-controller-manager', controllerManagerFlags(credentials, node.network));
  await programs.start('kube-scheduler', schedulerFlags(credentials));
}

interface NodeObject {
  status?: { conditions?: { type: string; status: string }[] };
}

async function isNodeReady(admin: AdminApi, nodeName: string): Promise<boolean> {
  const { body } = await admin.send('GET', `/api/v1/nodes/${nodeName}`);
  const conditions = (body as NodeObject).status?.conditions ?? [];
  return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}
