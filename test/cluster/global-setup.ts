import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { findOrBuild } from '../apiserver/binaries.ts';
import { bringUpCluster, type OwnCluster } from './bring-up.ts';
import type { NodeNetwork } from './node/node-network.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Undefined when the tier has to be skipped on this machine. */
    cluster: ClusterAccess | undefined;
  }
}

export interface ClusterAccess {
  kubectl: string;
  kubeconfig: string;
  /** Undefined where `KUBECONFIG` names a cluster that somebody else runs: no node to look into, none to hurt. */
  own: OwnAccess | undefined;
}

export interface OwnAccess extends Omit<OwnCluster, 'cluster' | 'kubectl'> {
  nodeFolder: string;
  network: NodeNetwork;
  /** The binary of kube-router. */
  policyEnforcer: string;
}

const run = promisify(execFile);

/** One cluster for the whole tier, with the product's images on it; each test file works in namespaces of its own. */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { env } = process;
  const skip = (what: string): undefined => {
    process.stdout.write(`skipped: cluster tier: missing ${what}\n`);
    project.provide('cluster', undefined);
  };
  if (env['KUBECONFIG']) {
    const tools = await findOrBuild(['kubectl'], env);
    if ('missing' in tools) return skip(tools.missing);
    await run(tools.paths.kubectl, ['get', '--raw', '/readyz', '--request-timeout=10s']);
    project.provide('cluster', { kubectl: tools.paths.kubectl, kubeconfig: env['KUBECONFIG'], own: undefined });
    return undefined;
  }
  const enforcer = await findOrBuild(['kube-router'], env);
  if ('missing' in enforcer) return skip(enforcer.missing);
  const found = await bringUpCluster(env);
  if ('missing' in found) return skip(found.missing);
  const { cluster, kubectl, ...parts } = found;
  const { folder, network } = cluster.node;
  const own = { ...parts, nodeFolder: folder, network, policyEnforcer: enforcer.paths['kube-router'] };
  project.provide('cluster', { kubectl, kubeconfig: cluster.kubeconfig, own });
  return () => cluster.stop();
}
