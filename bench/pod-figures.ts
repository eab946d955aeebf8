import { distribution, round, type Distribution } from './figures.ts';
import type { ColdStart, PoolFill } from './target.ts';

export interface PodFigures {
  fill: PoolFill;
  /** A plain pod of the same image, from its creation to Ready. */
  coldReadyMs: Distribution;
  /** coldReadyMs.p50 over claimToReadyMs.p50. */
  readyRatioP50: number;
  /** From sending a claim until the pod that replaces the claimed one can be claimed. */
  refillMs: Distribution;
  /** A plain pod of the same image, from its creation until its container runs; in turns with the refills. */
  plainPodMs: Distribution;
  /** refillMs.p50 over plainPodMs.p50. */
  refillRatio: number;
  /** The same for a pod without any volume, not even its service account's token: the kubelet looks after 300 ms whether volumes are there. */
  podWithoutVolumeMs: Distribution;
  refillRatioWithoutVolume: number;
}

export function podFigures(
  claimToReadyP50Ms: number,
  fill: PoolFill,
  { colds, refills }: { colds: ColdStart[]; refills: number[] },
): PodFigures {
  const pods = colds.flatMap(({ pod }) => pod ?? []);
  const coldReadyMs = distribution(pods.map(({ readyMs }) => readyMs));
  const plainPodMs = distribution(pods.map(({ runningMs }) => runningMs));
  const podWithoutVolumeMs = distribution(pods.map(({ runningWithoutVolumeMs }) => runningWithoutVolumeMs));
  const refillMs = distribution(refills);
  return {
    fill,
    coldReadyMs,
    readyRatioP50: round(coldReadyMs.p50 / claimToReadyP50Ms),
    refillMs,
    plainPodMs,
    refillRatio: round(refillMs.p50 / plainPodMs.p50),
    podWithoutVolumeMs,
    refillRatioWithoutVolume: round(refillMs.p50 / podWithoutVolumeMs.p50),
  };
}
