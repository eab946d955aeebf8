import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PodUid } from '@warmpool/protocol/fields.ts';
import { SIDECAR_VOLUME } from '@warmpool/protocol/names.ts';
import type { CodeCache } from '../cache/code-cache.ts';
import type { HostAgentConfig } from '../config.ts';
import { ConfigError } from '../config-error.ts';
import type { CodeDelivery } from '../deliver/code-delivery.ts';
import { linkDelivery } from '../deliver/link-delivery.ts';
import { MountDelivery } from '../deliver/mount-delivery.ts';
import type { ReadAhead } from '../deliver/read-ahead.ts';
import { Staging } from '../deliver/staging.ts';
import type { Mounter } from '../mounts/mounter.ts';
import type { PodRegistry } from '../pods/pod-registry.ts';
import { HostPathVolumes } from './host-path-volumes.ts';
import { KubeletDir } from './kubelet-dir.ts';
import { PodVolumes } from './pod-volumes.ts';
import { VolumeRecords } from './volume-records.ts';

export interface NodeVolumesDeps {
  log: Logger;
  /** On a cluster's node. */
  mounter: Mounter | undefined;
  /** On a cluster's node. */
  readAhead: ReadAhead | undefined;
  cache: CodeCache;
  pods: PodRegistry;
  onProblem: (error: unknown) => void;
}

/** How pods of this node share a folder with this program and get their code. */
export interface NodeVolumes {
  delivery: CodeDelivery;
  /** What a sidecar of a pod shares with this program. */
  sidecarFolder(podUid: PodUid, name: string): string;
  /** When loads can be taken: the kubelet may start pods. */
  serve(): Promise<void>;
  close(): Promise<void>;
}

/** Pods of this machine's own user: their folders are made by whoever starts them. */
const localVolumes = (podsDir: string): NodeVolumes => ({
  delivery: linkDelivery,
  sidecarFolder: (podUid, name) => join(podsDir, podUid, 'sidecars', name),
  serve: () => Promise.resolve(),
  close: () => Promise.resolve(),
});

/** On return, everything of pods that live on is known and pinned, and what dead pods left is gone. */
export async function openNodeVolumes(
  deps: NodeVolumesDeps,
  { cluster, nodeName, podsDir, cacheDir }: HostAgentConfig,
  entriesPath: string,
): Promise<NodeVolumes> {
  const { log, mounter, readAhead, cache, pods, onProblem } = deps;
  if (cluster === undefined || mounter === undefined || readAhead === undefined) return localVolumes(podsDir);
  const { csi, hostPathDir, kubeletDir } = cluster;
  const kubelet = openKubeletDir(kubeletDir);
  const staging = await Staging.open(mounter, entriesPath, join(cacheDir, 'staging'));
  const volumeDeps = {
    mounter,
    kubelet,
    staging,
    log,
    records: new VolumeRecords(podsDir),
    onChanged: (podUid: PodUid) => pods.recheck(podUid),
    onDelivered: (podUid: PodUid, treePath: string) => cache.adoptPin(treePath, podUid),
    onRemoved: (podUid: PodUid) => {
      pods.recheck(podUid);
      cache.release(podUid);
    },
    onProblem,
  };
  const volumes = new PodVolumes(volumeDeps);
  const isFinal = (podUid: PodUid): boolean => pods.find(podUid)?.isFinal === true;
  const hostPaths =
    hostPathDir === undefined ? undefined : new HostPathVolumes({ ...volumeDeps, isFinal }, hostPathDir);
  await volumes.start();
  await hostPaths?.start();
  let plugin: { close(): Promise<void> } | undefined;
  return {
    delivery: new MountDelivery(mounter, staging, readAhead),
    sidecarFolder: (podUid, name) => join(kubelet.emptyDir(podUid, SIDECAR_VOLUME), name),
    async serve() {
      if (csi === undefined) return;
      // gRPC costs memory that local mode has no use for
      const { NodePlugin } = await import('../csi/node-plugin.ts');
      plugin = await NodePlugin.start({ nodeName, kubelet, volumes, log, onProblem }, csi);
    },
    async close() {
      await plugin?.close();
      volumes.close();
      await hostPaths?.close();
      await staging.close();
    },
  };
}

function openKubeletDir(path: string): KubeletDir {
  try {
    return new KubeletDir(path);
  } catch (error) {
    throw new ConfigError(`--kubelet-dir: ${path} cannot be used: ${(error as Error).message}`);
  }
}
