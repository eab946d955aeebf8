import { sidecarLoadsSchema, type HostLoadRequest } from '@warmpool/protocol/host-agent-api.ts';
import { ANNOTATION_SIDECARS, SIDECAR_PATH, SIDECAR_VOLUME } from '@warmpool/protocol/names.ts';
import type { WarmPoolSpec } from '@warmpool/protocol/warm-pool.ts';
import type { StoredPod } from './pod-view.ts';
import type { Pod, PodContainer, PodEnv } from './resources.ts';

/** Containers that wait without identity and are told at load whose they are: docs/sidecars.md. */

type Sidecars = WarmPoolSpec['standby']['sidecars'];

/** A socket, a pipe and a few lines; a sidecar that fills it hurts its own pod only. */
const VOLUME = { name: SIDECAR_VOLUME, emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } };

export function sidecarVolumes(sidecars: Sidecars): object[] {
  return sidecars.length === 0 ? [] : [VOLUME];
}

export function sidecarAnnotations(sidecars: Sidecars): Record<string, string> {
  if (sidecars.length === 0) return {};
  const loads = sidecars.map(({ name, reload, timeoutSeconds }) => ({
    name,
    reload,
    timeoutMs: timeoutSeconds * 1000,
  }));
  return { [ANNOTATION_SIDECARS]: JSON.stringify(loads) };
}

/** As the template has it, unless it is one of `sidecars`: then with its folder, and secure where it does not say otherwise. */
export function sidecarContainer(
  container: PodContainer,
  sidecars: Sidecars,
  serving: readonly PodEnv[],
  security: object,
): PodContainer {
  if (!sidecars.some(({ name }) => name === container.name)) return container;
  const { volumeMounts, securityContext } = container as { volumeMounts?: object[]; securityContext?: object };
  return {
    ...container,
    env: [...(container.env ?? []), ...serving, { name: 'WARMPOOL_SIDECAR_DIR', value: SIDECAR_PATH }],
    volumeMounts: [
      ...(volumeMounts ?? []),
      // by its name: sidecars do not see each other's
      { name: SIDECAR_VOLUME, mountPath: SIDECAR_PATH, subPath: container.name },
    ],
    securityContext: { ...security, ...securityContext },
  };
}

/** Of the pod as it was made. */
export function isSidecar(pod: Readonly<Pod>, container: string): boolean {
  return pod.metadata.annotations?.[ANNOTATION_SIDECARS]?.includes(`"name":"${container}"`) ?? false;
}

/** What this pod was made with. @throws when somebody else has written rubbish there. */
export function sidecarLoads(pod: StoredPod): Pick<HostLoadRequest, 'sidecars'> {
  const text = pod.metadata.annotations?.[ANNOTATION_SIDECARS];
  return text === undefined ? {} : { sidecars: sidecarLoadsSchema.parse(JSON.parse(text)) };
}
