import { ENV_ALLOW_LIST } from '@warmpool/protocol/runtime-agent-api.ts';
import type { RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import type { Pod, PodContainer } from '@warmpool/operator/core/resources.ts';
import { isSidecar } from '@warmpool/operator/core/sidecars.ts';

/** What a pod asks for, decided without touching anything: the command and env of its process, or why there will be none. */

export interface LaunchPlan {
  /** As the pod names it; the runtime found may have a longer version. */
  runtime: { name: string; version: string };
  command: readonly string[];
  /** All but what only the kubelet knows: {@link placementEnv}. */
  env: Readonly<Record<string, string>>;
  sidecars: readonly SidecarPlan[];
}

export interface SidecarPlan {
  name: string;
  command: readonly string[];
  env: Readonly<Record<string, string>>;
}

export interface LaunchRefusal {
  reason:
    | 'SidecarCommandMissing'
    | 'RuntimeNotNamed'
    | 'RuntimeUnknown'
    | 'RuntimeMissing'
    | 'RuntimeVersionMissing'
    | 'EnvUnsupported';
  message: string;
}

export type LaunchDecision = { plan: LaunchPlan } | { refusal: LaunchRefusal };

export interface Placement {
  socketPath: string;
  host: string;
  port: number;
}

/** `WARMPOOL_RUNTIME_NAME` and `_VERSION` in the first container's env say which runtime; without them the image's name does. */
export function planLaunch(
  pod: Pod,
  runtimes: readonly RuntimeDescription[],
  hostEnv: Readonly<Record<string, string | undefined>>,
): LaunchDecision {
  const [container, ...others] = pod.spec.containers;
  const sidecars = others.filter(({ name }) => isSidecar(pod, name));
  const unsupported = [container, ...sidecars]
    .flatMap((each) => each?.env ?? [])
    .find((entry) => 'valueFrom' in entry && !isPlaced(entry.name));
  if (unsupported !== undefined) {
    return refuse(
      'EnvUnsupported',
      `The env entry ${unsupported.name} uses valueFrom, which local mode does not have.`,
    );
  }
  const silent = sidecars.find((each) => commandOf(each).length === 0);
  if (silent !== undefined) {
    const message = `The sidecar ${silent.name} has no command; local mode has no images to take one from.`;
    return refuse('SidecarCommandMissing', message);
  }
  const containerEnv = envOf(container);
  const runtime = runtimeFromEnv(containerEnv) ?? runtimeFromImage(container?.image ?? '');
  if (runtime === undefined) {
    const message = `The image ${container?.image ?? '(none)'} names no runtime; local mode reads it from names like runtime-nodejs:24.`;
    return refuse('RuntimeNotNamed', message);
  }
  const found = findRuntime(runtimes, runtime);
  if ('refusal' in found) return found;
  const allowed = Object.fromEntries(
    ENV_ALLOW_LIST.flatMap((name) => (hostEnv[name] === undefined ? [] : [[name, hostEnv[name]]])),
  ) as Record<string, string>;
  return {
    plan: {
      runtime,
      command: found.command,
      env: {
        ...allowed,
        WARMPOOL_PRE_IMPORT: '',
        WARMPOOL_REHEARSE: '1',
        ...containerEnv,
        WARMPOOL_RUNTIME_NAME: runtime.name,
        WARMPOOL_RUNTIME_VERSION: runtime.version,
      },
      sidecars: sidecars.map((each) => ({
        name: each.name,
        command: commandOf(each),
        env: { ...allowed, ...envOf(each) },
      })),
    },
  };
}

/** Last, so that no pool can point its pods at another pod's socket. `WARMPOOL_LIFELINE`: end when stdin does. */
export function placementEnv({ socketPath, host, port }: Placement): Record<string, string> {
  return {
    WARMPOOL_SOCKET: socketPath,
    WARMPOOL_HOST: host,
    WARMPOOL_PORT: String(port),
    WARMPOOL_LIFELINE: '1',
  };
}

function envOf(container: PodContainer | undefined): Record<string, string> {
  return Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value ?? '']));
}

function commandOf({ command = [], args = [] }: PodContainer & { command?: string[]; args?: string[] }): string[] {
  return command.length === 0 ? [] : [...command, ...args];
}

/** The operator's own, which only a kubelet knows: {@link placementEnv} is what they are here. */
function isPlaced(name: string): boolean {
  return name === 'WARMPOOL_HOST' || name === 'WARMPOOL_POD_UID';
}

/** `3` and `3.11` both take a 3.11 that is there; `3.1` does not. */
export function matchesVersion(found: string, wanted: string): boolean {
  return found === wanted || found.startsWith(`${wanted}.`);
}

function findRuntime(
  runtimes: readonly RuntimeDescription[],
  wanted: { name: string; version: string },
): { command: readonly string[] } | { refusal: LaunchRefusal } {
  const named = runtimes.filter(({ name }) => name === wanted.name);
  if (named.length === 0) {
    const known = runtimes.map(({ name }) => name).join(', ') || 'none';
    return refuse('RuntimeUnknown', `There is no runtime ${wanted.name} here; known are: ${known}.`);
  }
  const versions: string[] = [];
  const faults: string[] = [];
  for (const each of named) {
    if ('missing' in each) faults.push(each.missing);
    else if (matchesVersion(each.version, wanted.version)) return { command: each.command };
    else versions.push(each.version);
  }
  if (versions.length === 0) {
    return refuse('RuntimeMissing', `The runtime ${wanted.name} cannot start on this machine: ${faults.join('; ')}.`);
  }
  const message = `This machine has ${wanted.name} ${versions.join(', ')}, not ${wanted.version}.`;
  return refuse('RuntimeVersionMissing', message);
}

function runtimeFromEnv(env: Record<string, string>): { name: string; version: string } | undefined {
  const { WARMPOOL_RUNTIME_NAME: name, WARMPOOL_RUNTIME_VERSION: version } = env;
  return name === undefined || version === undefined ? undefined : { name, version };
}

function runtimeFromImage(image: string): { name: string; version: string } | undefined {
  const match = /(?:^|\/)runtime-(?<name>[a-z][a-z0-9-]*):(?<version>[0-9A-Za-z][\w.-]*)(?:@.*)?$/.exec(image);
  const { name, version } = match?.groups ?? {};
  return name === undefined || version === undefined ? undefined : { name, version };
}

function refuse(reason: LaunchRefusal['reason'], message: string): { refusal: LaunchRefusal } {
  return { refusal: { reason, message } };
}
