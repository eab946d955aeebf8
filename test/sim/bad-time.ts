import type { Clock } from '@warmpool/operator/engine/clock.ts';
import type { MemoryCluster } from '@warmpool/operator/memory/memory-cluster.ts';
import type { Faults } from './faults.ts';
import type { SimHostAgent } from './host-agent.ts';
import type { Kubelets } from './kubelets.ts';
import type { People } from './people.ts';
import type { Prng } from './prng.ts';
import type { Profile } from './profile.ts';
import type { Replica } from './replica.ts';
import type { SimNode } from './sim-node.ts';
import type { Trace } from './trace.ts';

export interface BadTimeDeps {
  clock: Clock;
  random: Prng;
  profile: Profile;
  faults: Faults;
  trace: Trace;
  cluster: MemoryCluster;
  replicas: readonly Replica[];
  nodes: readonly SimNode[];
  hostAgents: ReadonlyMap<string, SimHostAgent>;
  kubelets: Kubelets;
  people: People;
}

/** Sets off everything that goes wrong by itself; what goes wrong in a call is drawn where the call is made. */
export function beginBadTime(deps: BadTimeDeps): void {
  const { random, replicas, nodes, faults, kubelets } = deps;
  const { watch, hostAgents, pods, ...profile } = deps.profile;
  faults.repeat(watch.troubleEveryMs, () => random.pick(replicas).troubleWatches());
  faults.repeat(watch.compactEveryMs, () => deps.cluster.compact());
  faults.repeat(hostAgents.streamTroubleEveryMs, () => random.pick(replicas).troubleStreams());
  faults.repeat(hostAgents.restartEveryMs, () => restartHostAgent(deps, random.pick(nodes)));
  faults.repeat(pods.dieEveryMs, () => kubelets.killSomeProcess());
  faults.repeat(pods.restartEveryMs, () => kubelets.restartSomeContainer());
  faults.repeat(profile.nodeLossEveryMs, () => loseNode(deps, random.pick(nodes)));
  faults.repeat(profile.replicaCrashEveryMs, () => stopReplica(random, random.pick(replicas)));
  faults.repeat(profile.replicaPauseEveryMs, () =>
    random.pick(replicas).pause(random.pick([300, 3_000, 9_000, 14_000, 20_000, 40_000])),
  );
  faults.repeat(profile.operationEveryMs, () => deps.people.act());
  faults.repeat(2_000, () => {
    for (const replica of replicas) if (replica.operator === undefined && random.chance(0.5)) replica.start();
  });
}

function restartHostAgent({ trace, random, replicas, hostAgents }: BadTimeDeps, node: SimNode): void {
  trace.add(node.name, 'HOST-AGENT RESTARTS');
  hostAgents.get(node.name)?.restart(random.int(50, 3_000));
  for (const replica of replicas) replica.breakStreams(node.name);
}

function loseNode({ trace, random, clock, kubelets, replicas }: BadTimeDeps, node: SimNode): void {
  if (!node.isReachable) return;
  const awayMs = random.int(2_000, 25_000);
  if (random.chance(0.5)) {
    trace.add(node.name, `CUT OFF for ${awayMs} ms`);
    node.cutOff();
  } else {
    trace.add(node.name, `LOSES POWER for ${awayMs} ms`);
    kubelets.loseNode(node, random.int(1_000, 20_000));
  }
  clock.after(awayMs, () => {
    node.rejoin();
    for (const replica of replicas) replica.breakStreams(node.name);
  });
}

function stopReplica(random: Prng, replica: Replica): void {
  if (random.chance(0.7)) replica.crash('at some moment');
  else replica.roll();
}
