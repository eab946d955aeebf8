import type { Prng } from './prng.ts';

/** What one world is like. Each kind of fault is on in about half of the worlds, so that none hides another. */
export interface Profile {
  nodes: number;
  replicas: number;
  pools: number;
  claims: number;
  /** How long faults go on; claims arrive all the while. */
  faultsMs: number;
  kube: {
    latencyMs: number;
    slowChance: number;
    refusedChance: number;
    /** The write happened, and its answer does not arrive. */
    lostReplyChance: number;
    lostRequestChance: number;
    crashOnWriteChance: number;
  };
  watch: { lagMs: number; staleChance: number; staleMs: number; troubleEveryMs: number; compactEveryMs: number };
  hostAgents: {
    latencyMs: number;
    lostReplyChance: number;
    lostRequestChance: number;
    streamTroubleEveryMs: number;
    restartEveryMs: number;
  };
  pods: {
    bootMs: number;
    neverBootsChance: number;
    failsBootChance: number;
    dieEveryMs: number;
    restartEveryMs: number;
    deletionMs: number;
    slowLoadChance: number;
    diesInLoadChance: number;
  };
  nodeLossEveryMs: number;
  replicaCrashEveryMs: number;
  replicaPauseEveryMs: number;
  operationEveryMs: number;
}

const NEVER_MS = Number.POSITIVE_INFINITY;

export function drawProfile(random: Prng): Profile {
  const sometimes = (value: number): number => (random.chance(0.5) ? value : 0);
  const every = (fromMs: number, toMs: number): number => (random.chance(0.5) ? random.int(fromMs, toMs) : NEVER_MS);
  return {
    nodes: random.int(2, 4),
    replicas: random.int(1, 3),
    pools: random.int(1, 2),
    claims: random.int(12, 36),
    faultsMs: random.int(40_000, 90_000),
    kube: {
      latencyMs: random.pick([2, 10, 60]),
      slowChance: sometimes(0.03),
      refusedChance: sometimes(0.08),
      lostReplyChance: sometimes(0.06),
      lostRequestChance: sometimes(0.03),
      crashOnWriteChance: sometimes(0.01),
    },
    watch: {
      lagMs: random.pick([1, 20, 150]),
      staleChance: sometimes(0.04),
      staleMs: random.pick([500, 6_000]),
      troubleEveryMs: every(3_000, 20_000),
      compactEveryMs: every(5_000, 30_000),
    },
    hostAgents: {
      latencyMs: random.pick([1, 8, 40]),
      lostReplyChance: sometimes(0.08),
      lostRequestChance: sometimes(0.04),
      streamTroubleEveryMs: every(3_000, 15_000),
      restartEveryMs: every(8_000, 30_000),
    },
    pods: {
      bootMs: random.pick([100, 600, 3_000]),
      neverBootsChance: sometimes(0.05),
      failsBootChance: sometimes(0.08),
      dieEveryMs: every(4_000, 15_000),
      restartEveryMs: every(5_000, 20_000),
      deletionMs: random.pick([50, 500, 8_000]),
      slowLoadChance: sometimes(0.08),
      diesInLoadChance: sometimes(0.05),
    },
    nodeLossEveryMs: every(15_000, 50_000),
    replicaCrashEveryMs: every(8_000, 40_000),
    replicaPauseEveryMs: every(8_000, 40_000),
    operationEveryMs: every(3_000, 12_000),
  };
}
