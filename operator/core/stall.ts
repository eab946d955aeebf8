import type { KubeError } from '../engine/kube-client.ts';
import type { Pod } from './resources.ts';

/** Why a pool does not get its pods, for its Stalled condition and its events: what the API said, and what to do about it. */

export type StallReason =
  /** The namespace's ResourceQuota or LimitRange leaves no room. */
  | 'QuotaExceeded'
  /** Pod Security or another admission check refuses the template. */
  | 'PodRefused'
  /** The operator has no rights in the namespace. */
  | 'NotPermitted'
  /** The apiserver finds a field of the template wrong. */
  | 'TemplateInvalid'
  | 'NamespaceTerminating'
  /** No node takes the pod. */
  | 'Unschedulable'
  /** The pod's node does not report to the control plane. */
  | 'NodeNotReady'
  | 'ImagePullFailing'
  /** The kubelet cannot make the container: a volume, a Secret or a setting is missing. */
  | 'ContainerNotCreated'
  /** Pods start and end before they are standby, or do not become standby in time. */
  | 'BootFailing'
  | 'CreateFailed';

export interface Stall {
  reason: StallReason;
  message: string;
}

/** As `PodCreation` makes them. */
const GENERATED_NAME = /"([a-z0-9.-]+)-[0-9a-f]{8}"/g;

/** A create that the apiserver refused. */
export function createStall(error: Pick<KubeError, 'status' | 'message'>, namespace: string): Stall {
  const { status } = error;
  // the same trouble in the same words, whatever name was made up for the pod
  const message = error.message.replace(GENERATED_NAME, '"$1-…"');
  const stall = (reason: StallReason, hint: string): Stall => ({ reason, message: `${message}; ${hint}` });
  if (isNamespaceTerminating(error)) return stall('NamespaceTerminating', 'the pool ends with its namespace');
  if (status === 403 && /exceeded quota|LimitRange|maximum .* usage|minimum .* usage|must specify/i.test(message))
    return stall(
      'QuotaExceeded',
      `see kubectl describe quota,limitrange -n ${namespace}: raise it, or make the pool or its requests smaller`,
    );
  if (status === 403 && /cannot create resource/.test(message))
    return stall(
      'NotPermitted',
      `let the operator work in ${namespace}: kubectl apply -k manifests/pools with that namespace`,
    );
  if (status === 403) return stall('PodRefused', 'change spec.template so that the admission check lets its pods in');
  if (status === 422 || status === 400) return stall('TemplateInvalid', 'correct that field in spec.template');
  return { reason: 'CreateFailed', message };
}

export function isNamespaceTerminating({ status, message }: Pick<KubeError, 'status' | 'message'>): boolean {
  return status === 403 && message.includes('because it is being terminated');
}

type Statuses = NonNullable<NonNullable<Pod['status']>['containerStatuses']>;

const PULL_REASONS = [
  'ErrImagePull',
  'ImagePullBackOff',
  'InvalidImageName',
  'ErrImageNeverPull',
  'RegistryUnavailable',
];
const STARTING_REASONS = ['ContainerCreating', 'PodInitializing'];

/** What a pod that is neither standby nor dead is held up by; `undefined` while it may just be starting. */
export function podStall(pod: Pod): Stall | undefined {
  const { spec, status } = pod;
  const unscheduled = status?.conditions?.find(({ type, status: is }) => type === 'PodScheduled' && is === 'False');
  if (unscheduled?.reason === 'Unschedulable')
    return {
      reason: 'Unschedulable',
      message: `no node takes the pod: ${unscheduled.message ?? 'the scheduler gave no reason'}; add nodes, or change requests, nodeSelector or tolerations in spec.template`,
    };
  if (isNodeLost(pod))
    return {
      reason: 'NodeNotReady',
      message: `node ${spec.nodeName ?? ''} does not report to the control plane, so its standby pods are not offered; see kubectl describe node`,
    };
  for (const { name, image, state } of statuses(status)) {
    const { reason = '', message = reason } = state?.waiting ?? {};
    if (reason === '' || STARTING_REASONS.includes(reason)) continue;
    if (PULL_REASONS.includes(reason))
      return {
        reason: 'ImagePullFailing',
        message: `image ${image ?? ''} of container ${name} cannot be pulled: ${message}; check the name in spec.template, and spec.template.spec.imagePullSecrets`,
      };
    return {
      reason: 'ContainerNotCreated',
      message: `container ${name} cannot be made (${reason}): ${message}; correct spec.template, or add what it names`,
    };
  }
  return undefined;
}

/**
 * Its node does not report any more: the control plane has taken back that it is ready, and gives no reason. When the kubelet says so
 * itself, a container is not ready or there is a reason.
 */
export function isNodeLost({ status }: Pod): boolean {
  const condition = (wanted: string) => status?.conditions?.find(({ type }) => type === wanted);
  const ready = condition('Ready');
  return ready?.status === 'False' && !ready.reason && condition('ContainersReady')?.status === 'True';
}

/** How the containers of a dead pod ended, with the last words that the kubelet kept; empty when it is not known. */
export function lastWords({ status }: Pod): string {
  return statuses(status)
    .flatMap(({ name, state }) => {
      if (state?.terminated === undefined) return [];
      const { exitCode, reason, message } = state.terminated;
      const why =
        reason === 'OOMKilled'
          ? 'it used more memory than its limit: raise resources.limits.memory in spec.template'
          : (message?.trim() ?? '');
      return [
        `container ${name} ended with exit code ${exitCode}${reason ? ` (${reason})` : ''}${why ? `: ${why}` : ''}`,
      ];
    })
    .join('; ');
}

function statuses(status: Pod['status']): Statuses {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}
