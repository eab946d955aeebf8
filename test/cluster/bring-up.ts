import { findOrBuild } from '../apiserver/binaries.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { buildImages, buildProgramImage, PRODUCT_IMAGES } from './images/build-images.ts';
import { PAUSE_IMAGE } from './node-flags.ts';
import { CLUSTER_BINARIES, type ClusterBinary } from './node-programs.ts';
import { missingForCluster } from './prerequisites.ts';

export interface OwnCluster {
  cluster: Cluster;
  kubectl: string;
  binaries: Record<ClusterBinary, string>;
  pauseArchive: string;
  /** Of the product's images; what a node needs besides `pauseArchive`. */
  productArchives: string[];
}

/** A cluster of one real node on this machine, with the product's images on it; or what is missing for one. */
export async function bringUpCluster(env: NodeJS.ProcessEnv): Promise<OwnCluster | { missing: string }> {
  const missing = await missingForCluster(env);
  if (missing.length > 0) return { missing: missing.join(', ') };
  const tools = await findOrBuild([...CLUSTER_BINARIES, 'kubectl', 'pause'], env);
  if ('missing' in tools) return { missing: tools.missing };
  const { kubectl, pause, ...binaries } = tools.paths;
  const pauseArchive = await buildProgramImage(PAUSE_IMAGE, pause, env);
  const productArchives = await buildImages(PRODUCT_IMAGES, env);
  const cluster = await startCluster(binaries, [pauseArchive, ...productArchives]);
  return { cluster, kubectl, binaries, pauseArchive, productArchives };
}
