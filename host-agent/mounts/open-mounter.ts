import type { HostAgentConfig } from '../config.ts';
import { ConfigError } from '../config-error.ts';
import type { MounterDeps } from './mounter.ts';
import { Mounter } from './mounter.ts';

/** On a cluster's node; in local mode nothing is mounted. */
export async function openMounter(deps: MounterDeps, { cluster }: HostAgentConfig): Promise<Mounter | undefined> {
  if (cluster === undefined) return undefined;
  const { mountHelper } = cluster;
  const mounter = new Mounter(deps, [mountHelper]);
  await mounter.ping().catch((error: unknown) => {
    throw new ConfigError(`--mount-helper: ${mountHelper} cannot be used: ${(error as Error).message}`);
  });
  return mounter;
}
