import type { ContainerStatus, Pod, PodStatus } from '@warmpool/operator/core/resources.ts';

/** The words that a pod's status gets in each phase of its life. Pure: what happened in, a status patch out. */

export interface ProcessExit {
  code: number | null;
  signal: string | null;
  /** By the kubelet, as the pod is deleted. */
  wasKilled?: boolean;
  /** The command could not be run at all. */
  spawnError?: string;
}

/** What the runtime-agent leaves beside its socket when it ends by its own decision. */
export interface Termination {
  reason?: string | undefined;
  message?: string | undefined;
}

type Condition = NonNullable<PodStatus['conditions']>[number];
const MESSAGE_LIMIT = 1024;

export function startedStatus(pod: Pod, host: string, at: string): PodStatus {
  return {
    phase: 'Running',
    podIP: host,
    conditions: mergeConditions(pod, [
      { type: 'PodScheduled', status: 'True' },
      {
        type: 'Ready',
        status: 'False',
        reason: 'Booting',
        message: 'The runtime-agent has not opened its socket yet.',
      },
    ]),
    containerStatuses: [containerStatus(pod, false, { running: { startedAt: at } })],
  };
}

export function readyStatus(pod: Pod, startedAt: string): PodStatus {
  return {
    conditions: mergeConditions(pod, [{ type: 'Ready', status: 'True', reason: 'SocketOpen', message: '' }]),
    containerStatuses: [containerStatus(pod, true, { running: { startedAt } })],
  };
}

/** The pod was never started: its process would have nothing to run. */
export function refusedStatus(pod: Pod, reason: string, message: string): PodStatus {
  return {
    phase: 'Failed',
    reason,
    message,
    conditions: mergeConditions(pod, [{ type: 'Ready', status: 'False', reason, message }]),
    containerStatuses: [containerStatus(pod, false, { waiting: { reason, message } })],
  };
}

export function exitedStatus(
  pod: Pod,
  exit: ProcessExit,
  found: { termination: Termination | undefined; ranOutOfHeap: boolean },
  times: { startedAt: string; finishedAt: string },
): PodStatus {
  const hasSucceeded = exit.code === 0;
  const reason = found.termination?.reason ?? exitReason(exit, found.ranOutOfHeap);
  const message = [describeExit(exit, found.ranOutOfHeap), found.termination?.message]
    .filter((part) => part !== undefined && part !== '')
    .join(' ')
    .slice(0, MESSAGE_LIMIT);
  const terminated = { exitCode: exit.code ?? 128, reason, message, ...times };
  return {
    phase: hasSucceeded ? 'Succeeded' : 'Failed',
    reason,
    message,
    conditions: mergeConditions(pod, [
      { type: 'Ready', status: 'False', reason: hasSucceeded ? 'PodCompleted' : 'PodFailed', message },
    ]),
    containerStatuses: [containerStatus(pod, false, { terminated })],
  };
}

/** Of a process beside the runtime's. */
export function sidecarExitedStatus(name: string, exit: ProcessExit): ContainerStatus {
  const reason = exitReason(exit, false);
  const message =
    exit.spawnError === undefined ? '' : `The sidecar's command could not be started: ${exit.spawnError}.`;
  return {
    name,
    restartCount: 0,
    ready: false,
    state: { terminated: { exitCode: exit.code ?? 128, reason, message } },
  };
}

function exitReason(exit: ProcessExit, ranOutOfHeap: boolean): string {
  if (exit.spawnError !== undefined) return 'StartError';
  if (ranOutOfHeap) return 'OOMKilled';
  return exit.code === 0 ? 'Completed' : 'Error';
}

function describeExit({ code, signal, wasKilled, spawnError }: ProcessExit, ranOutOfHeap: boolean): string {
  if (spawnError !== undefined) return `The runtime's command could not be started: ${spawnError}.`;
  if (ranOutOfHeap) return 'The process ran out of heap memory.';
  if (signal === 'SIGKILL' && wasKilled === true) return 'The pod was deleted, and its process killed.';
  if (signal === 'SIGKILL') {
    return 'The process was killed by SIGKILL from outside: someone did that, or the system when it ran out of memory.';
  }
  if (signal !== null) return `The process was ended by ${signal}.`;
  return code === 0 ? 'The process ended by itself.' : `The process ended with exit code ${code}.`;
}

/** A merge patch replaces the whole list, so conditions that others wrote have to be in it. */
function mergeConditions(pod: Pod, ours: Condition[]): Condition[] {
  const others = (pod.status?.conditions ?? []).filter(({ type }) => ours.every((each) => each.type !== type));
  return [...others, ...ours];
}

function containerStatus(pod: Pod, ready: boolean, state: Record<string, unknown>) {
  return { name: pod.spec.containers[0]?.name ?? 'runtime', restartCount: 0, ready, state };
}
