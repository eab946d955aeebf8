import type { ClaimResize } from '@warmpool/protocol/claim-api.ts';
import { LABEL_CLAIM } from '@warmpool/protocol/names.ts';
import type { JsonPatchOperation } from '../engine/kube-client.ts';
import type { StoredPod } from './pod-view.ts';
import type { PodContainer } from './resources.ts';

/** What a claim asks of the processor of a pod that is running already. Pure: quantities in, a patch or words out. */

export type ResizePlan = { kind: 'patch'; patch: JsonPatchOperation[] } | { kind: 'answer'; resize: ClaimResize };

interface Quantities {
  cpu?: string;
  memory?: string;
  [name: string]: string | undefined;
}
interface Resources {
  requests?: Quantities;
  limits?: Quantities;
  [field: string]: unknown;
}

/**
 * The runtime's container is the first one, and its CPU is raised, never lowered. A limit is raised where there is one, and the request
 * with it unless the pod would become Guaranteed by that: a resize may not change what a pod's QoS class is.
 */
export function planCpuResize(pod: StoredPod, claimId: string, cpu: string): ResizePlan {
  const container = pod.spec.containers[0];
  const { requests = {}, limits = {}, ...others } = resourcesOf(container);
  const wanted = milliCpu(cpu) ?? 0;
  const current = limits.cpu ?? requests.cpu;
  if (container === undefined || current === undefined) {
    return unneeded(cpu, 'the pool sets neither a CPU request nor a CPU limit, so nothing holds the pod back');
  }
  if ((milliCpu(current) ?? 0) >= wanted) return unneeded(cpu, `the pod has ${current} already`);
  const keepsRequest =
    limits.cpu !== undefined &&
    (requests.cpu === undefined || (requests.cpu !== limits.cpu && memoryIsGuaranteed(requests, limits)));
  const resources = {
    ...others,
    requests: keepsRequest ? requests : { ...requests, cpu },
    ...(Object.keys(limits).length > 0 && { limits: limits.cpu === undefined ? limits : { ...limits, cpu } }),
  };
  return {
    kind: 'patch',
    patch: [
      { op: 'test', path: '/metadata/uid', value: pod.metadata.uid },
      { op: 'test', path: `/metadata/labels/${LABEL_CLAIM.replaceAll('/', '~1')}`, value: claimId },
      { op: 'test', path: '/spec/containers/0/name', value: container.name },
      { op: 'add', path: '/spec/containers/0/resources', value: resources },
    ],
  };
}

/** What the node has made of an accepted resize; undefined while it has said nothing yet. */
export function resizeOutcome(pod: StoredPod, cpu: string): ClaimResize | undefined {
  const name = pod.spec.containers[0]?.name;
  const status = pod.status?.containerStatuses?.find((container) => container.name === name);
  const actual = status?.resources?.limits?.cpu ?? status?.resources?.requests?.cpu;
  if (actual !== undefined && (milliCpu(actual) ?? 0) >= (milliCpu(cpu) ?? 0)) return { cpu, state: 'done' };
  const pending = pod.status?.conditions?.find(({ type, status: is }) => type === 'PodResizePending' && is === 'True');
  if (pending?.reason === 'Infeasible') {
    return { cpu, state: 'failed', message: pending.message ?? 'the node cannot give that much' };
  }
  return undefined;
}

/** `250m`, `1`, `1.5`; undefined for a form that nobody writes for a processor. */
export function milliCpu(quantity: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)(m?)$/.exec(quantity);
  if (found === null) return undefined;
  return Math.round(Number(found[1]) * (found[2] === 'm' ? 1 : 1000));
}

function unneeded(cpu: string, message: string): ResizePlan {
  return { kind: 'answer', resize: { cpu, state: 'unneeded', message } };
}

function memoryIsGuaranteed(requests: Quantities, limits: Quantities): boolean {
  return limits.memory !== undefined && (requests.memory ?? limits.memory) === limits.memory;
}

function resourcesOf(container: PodContainer | undefined): Resources {
  const resources = container?.['resources'];
  return typeof resources === 'object' && resources !== null ? (resources as Resources) : {};
}
