import type {
  WarmPoolClaimSpec,
  WarmPoolClaimStatus,
  WarmPoolSpec,
  WarmPoolStatus,
} from '@warmpool/protocol/warm-pool.ts';
import { API_GROUP, API_VERSION } from '@warmpool/protocol/names.ts';
import type { KubeObject, Resource } from '../engine/kube-client.ts';

/** The kinds that the operator reads and writes, and the parts of them it knows. */

export const PODS: Resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod' };
export const SECRETS: Resource = { group: '', version: 'v1', plural: 'secrets', kind: 'Secret' };
export const EVENTS: Resource = { group: 'events.k8s.io', version: 'v1', plural: 'events', kind: 'Event' };
export const LEASES: Resource = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease' };
export const WARM_POOLS: Resource = { group: API_GROUP, version: API_VERSION, plural: 'warmpools', kind: 'WarmPool' };
export const WARM_POOL_CLAIMS: Resource = {
  group: API_GROUP,
  version: API_VERSION,
  plural: 'warmpoolclaims',
  kind: 'WarmPoolClaim',
};

export interface WarmPool extends KubeObject {
  spec: WarmPoolSpec;
  status?: WarmPoolStatus;
}

export interface WarmPoolClaim extends KubeObject {
  spec: WarmPoolClaimSpec;
  status?: WarmPoolClaimStatus;
}

export interface Pod extends KubeObject {
  spec: { nodeName?: string; containers: PodContainer[]; [field: string]: unknown };
  status?: PodStatus;
}

export interface PodContainer {
  name: string;
  image?: string;
  env?: PodEnv[];
  [field: string]: unknown;
}

export interface PodEnv {
  name: string;
  value?: string;
  valueFrom?: object;
}

export interface PodStatus {
  phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed' | 'Unknown';
  podIP?: string;
  reason?: string;
  message?: string;
  conditions?: { type: string; status: string; reason?: string; message?: string }[];
  initContainerStatuses?: ContainerStatus[];
  containerStatuses?: ContainerStatus[];
}

export interface ContainerStatus {
  name: string;
  image?: string;
  restartCount: number;
  ready: boolean;
  /** What the node has given it. */
  resources?: { requests?: { cpu?: string }; limits?: { cpu?: string } };
  state?: {
    running?: { startedAt?: string };
    waiting?: { reason?: string; message?: string };
    terminated?: { exitCode: number; reason?: string; message?: string; [field: string]: unknown };
  };
}

export interface Secret extends KubeObject {
  data?: Record<string, string>;
}

export interface Lease extends KubeObject {
  spec: {
    holderIdentity?: string;
    leaseDurationSeconds?: number;
    acquireTime?: string;
    renewTime?: string;
    leaseTransitions?: number;
  };
}
