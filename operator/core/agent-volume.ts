import { CSI_DRIVER, POD_VOLUME_PATH } from '@warmpool/protocol/names.ts';
import type { PodEnv, WarmPool } from './resources.ts';

/** The folder that a standby pod shares with the host-agent of its node: docs/pod-volume.md says why each field is there. */
export interface AgentVolume {
  volume: { name: string; [source: string]: unknown };
  mount: object;
  env: PodEnv[];
  /** Where the function will be served. */
  serving: PodEnv[];
}

const NAME = 'warmpool';
const SERVING_PORT = 8080;
/** The host-agent's `--host-path-dir`. */
const SHARED_FOLDER = '/run/warmpool/shared';

export function agentVolume(kind: WarmPool['spec']['agentVolume']): AgentVolume {
  // without the propagation the code never appears in the container
  const mount = { name: NAME, mountPath: POD_VOLUME_PATH, mountPropagation: 'HostToContainer' };
  const serving: PodEnv[] = [
    { name: 'WARMPOOL_HOST', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'WARMPOOL_PORT', value: String(SERVING_PORT) },
  ];
  const env: PodEnv[] = [{ name: 'WARMPOOL_SOCKET', value: `${POD_VOLUME_PATH}/agent.sock` }, ...serving];
  switch (kind) {
    case 'CSI':
      return { volume: { name: NAME, csi: { driver: CSI_DRIVER } }, mount, env, serving };
    case 'HostPath':
      return {
        volume: { name: NAME, hostPath: { path: SHARED_FOLDER, type: 'Directory' } },
        mount: { ...mount, subPathExpr: '$(WARMPOOL_POD_UID)' },
        env: [...env, { name: 'WARMPOOL_POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }],
        serving,
      };
  }
}
