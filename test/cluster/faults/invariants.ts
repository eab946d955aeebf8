import { LABEL_CLAIM, LABEL_POOL, LABEL_STATE } from '@warmpool/protocol/names.ts';
import { expect } from 'vitest';
import { type Kubectl, until } from '../kubectl.ts';
import { POOL_NAMESPACE } from '../product.ts';
import type { Claimant } from './claimant.ts';
import { type NodeState, readNode } from './node-state.ts';

export interface PodObject {
  kind: 'Pod';
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    deletionTimestamp?: string;
    labels?: Record<string, string>;
  };
  spec: { nodeName?: string };
  status: { phase: string; podIP?: string };
}
interface PoolObject {
  kind: 'WarmPool';
  metadata: { name: string; namespace: string };
  spec: { replicas: number };
  status?: { readyReplicas?: number; claimedReplicas?: number };
}

export interface Watched {
  kubectl: Kubectl;
  claimant: Claimant;
  nodeFolder: string;
  pool: string;
}

const SETTLED_LIMIT_MS = 120_000;

/**
 * What must be true after every fault, of real objects, mounts and processes: nothing is handed out twice, nothing is left over, every
 * claim was answered, every instance is still what its claim was told, and the pool is full again.
 */
export async function expectInvariants(watched: Watched): Promise<void> {
  expectAnswers(watched.claimant);
  await until('everything to be as it should', SETTLED_LIMIT_MS, async () => {
    const found = await problems(watched);
    if (found.length > 0) throw new Error(found.join('\n'));
    return true;
  });
  for (const [claimId, claim] of watched.claimant.held) expect(await watched.claimant.invoke(claim)).toBe(claimId);
}

/** I1, I3: a pod for one claim, and a claim for one pod; and no silence. */
function expectAnswers({ outcomes }: Claimant): void {
  expect(outcomes.filter(({ answer }) => answer === undefined)).toEqual([]);
  const claimOfPod = new Map<string, string>();
  for (const { claimId, answer, refusals } of outcomes) {
    for (const { code, message } of refusals) expect([code, message]).not.toContain('');
    const uid = answer?.claim?.pod?.uid;
    if (uid === undefined) continue;
    expect(claimOfPod.get(uid) ?? claimId, `pod ${uid} was given to two claims`).toBe(claimId);
    claimOfPod.set(uid, claimId);
  }
}

async function problems(watched: Watched): Promise<string[]> {
  const { kubectl, claimant, nodeFolder, pool } = watched;
  const text = await kubectl.run(['get', 'pods,warmpools', '--all-namespaces', '--output=json']);
  const { items } = JSON.parse(text) as { items: (PodObject | PoolObject)[] };
  const pods = items.filter((item) => item.kind === 'Pod');
  const found = items.find((item) => item.kind === 'WarmPool' && item.metadata.name === pool) as PoolObject | undefined;
  const own = pods.filter(
    ({ metadata: { namespace, labels } }) => namespace === POOL_NAMESPACE && labels?.[LABEL_POOL] === pool,
  );
  return [...objectProblems(found, own, claimant), ...nodeProblems(await readNode(nodeFolder), pods)];
}

/** I4, I5, I6: as many standby pods as wanted, the instances of the claims, and nothing else. */
function objectProblems(pool: PoolObject | undefined, pods: PodObject[], { held }: Claimant): string[] {
  const state = (pod: PodObject): string | undefined => pod.metadata.labels?.[LABEL_STATE];
  const name = ({ metadata }: PodObject): string => metadata.name;
  const standby = pods.filter((pod) => state(pod) === 'standby' && pod.metadata.deletionTimestamp === undefined);
  const claimed = pods.filter((pod) => state(pod) === 'claimed');
  const others = pods.filter(
    (pod) => !standby.includes(pod) && (!claimed.includes(pod) || pod.metadata.deletionTimestamp),
  );
  const wanted = pool?.spec.replicas;
  const isHeld = (pod: PodObject): boolean =>
    held.get(pod.metadata.labels?.[LABEL_CLAIM] ?? '')?.pod?.uid === pod.metadata.uid;
  const found: string[] = [];
  if (standby.length !== wanted || pool?.status?.readyReplicas !== wanted)
    found.push(`${standby.length} standby pods, ${pool?.status?.readyReplicas} ready, ${wanted} wanted`);
  if (pool?.status?.claimedReplicas !== held.size)
    found.push(`${pool?.status?.claimedReplicas} claimed in the status, ${held.size} claims held`);
  for (const pod of others) found.push(`${name(pod)} is ${state(pod)} and still there`);
  for (const pod of claimed) if (!isHeld(pod)) found.push(`${name(pod)} is claimed and no claim has it`);
  for (const [claimId, claim] of held)
    if (!claimed.some(({ metadata }) => metadata.uid === claim.pod?.uid))
      found.push(`claim ${claimId} has lost its pod`);
  return found;
}

/** I4: every mount, process, shim and record belongs to a pod that is there; code is in claimed pods, once (and perhaps its prepared form), and in no other. */
export function nodeProblems(node: NodeState, pods: PodObject[]): string[] {
  const found: string[] = [];
  const byUid = new Map(pods.map((pod) => [pod.metadata.uid, pod]));
  const warm = pods.filter(({ metadata }) => metadata.labels?.[LABEL_POOL] !== undefined);
  const running = pods.filter(({ status }) => status.phase === 'Running');
  for (const uid of [...node.volumeMounts.keys(), ...node.records])
    if (!byUid.has(uid)) found.push(`pod ${uid} is gone and its volume is not`);
  for (const { pid, podUid } of node.processes)
    if (!byUid.has(podUid ?? '')) found.push(`process ${pid} of pod ${podUid} runs, and the pod is gone`);
  for (const { metadata } of warm) {
    const isClaimed = metadata.labels?.[LABEL_STATE] === 'claimed';
    const mounts = node.volumeMounts.get(metadata.uid) ?? [];
    const code = mounts.filter((path) => path.endsWith('/code')).length;
    const prepared = mounts.filter((path) => path.endsWith('/prepared')).length;
    const volumes = mounts.length - code - prepared;
    if (volumes !== 1) found.push(`${metadata.name} has ${volumes} volumes`);
    if (prepared > code) found.push(`${metadata.name} has prepared code without code`);
    if (code !== (isClaimed ? 1 : 0)) found.push(`${metadata.name} has ${code} mounts of code`);
    if (!node.processes.some(({ podUid }) => podUid === metadata.uid)) found.push(`${metadata.name} has no process`);
  }
  if (node.shims !== running.length) found.push(`${node.shims} shims for ${running.length} running pods`);
  return found;
}
