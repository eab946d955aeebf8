import { createHash } from 'node:crypto';
import {
  ANNOTATION_RUNTIME,
  API_GROUP,
  API_VERSION,
  LABEL_POOL,
  LABEL_STATE,
  LABEL_TEMPLATE_HASH,
} from '@warmpool/protocol/names.ts';
import type { Stored } from '../engine/kube-client.ts';
import { agentVolume } from './agent-volume.ts';
import { sidecarAnnotations, sidecarContainer, sidecarVolumes } from './sidecars.ts';
import type { Pod, PodContainer, WarmPool } from './resources.ts';

/** A pool that changes is another object. */
const hashes = new WeakMap<WarmPool, string>();

/** Names what a pod of this pool was made from: a pod with another hash is outdated. */
export function templateHash(pool: WarmPool): string {
  let hash = hashes.get(pool);
  if (hash === undefined) hashes.set(pool, (hash = hashOf(pool)));
  return hash;
}

function hashOf(pool: WarmPool): string {
  const { runtime, template, standby, agentVolume } = pool.spec;
  return createHash('sha256')
    .update(
      JSON.stringify([
        runtime,
        template,
        standby.preImport,
        standby.rehearse,
        agentVolume,
        // a pool without sidecars keeps the hash that it had before there were any
        ...(standby.sidecars.length > 0 ? [standby.sidecars] : []),
      ]),
    )
    .digest('hex')
    .slice(0, 10);
}

/**
 * A standby pod: the pool's template plus what makes it standby. No service account token, no env but the runtime-agent's settings,
 * `restricted` security, never restarted.
 */
export function buildStandbyPod(pool: Stored<WarmPool>, name: string): Pod {
  const { runtime, standby, template } = pool.spec;
  const [runtimeContainer, ...others] = template.spec.containers as PodContainer[];
  const shared = agentVolume(pool.spec.agentVolume);
  const ownMounts = asList(runtimeContainer ?? {}, 'volumeMounts');
  const tmp = ownMounts.some((mount) => isAtTmp(mount)) ? [] : [TMP];
  const settings = [
    ...shared.env,
    { name: 'WARMPOOL_RUNTIME_NAME', value: runtime.name },
    { name: 'WARMPOOL_RUNTIME_VERSION', value: runtime.version },
    { name: 'WARMPOOL_PRE_IMPORT', value: standby.preImport.join(',') },
    { name: 'WARMPOOL_REHEARSE', value: standby.rehearse ? '1' : '0' },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: pool.metadata.namespace ?? 'default',
      labels: {
        ...template.metadata?.labels,
        [LABEL_POOL]: pool.metadata.name,
        [LABEL_STATE]: 'standby',
        [LABEL_TEMPLATE_HASH]: templateHash(pool),
      },
      annotations: {
        ...template.metadata?.annotations,
        [ANNOTATION_RUNTIME]: `${runtime.name}/${runtime.version}`,
        ...sidecarAnnotations(standby.sidecars),
      },
      ownerReferences: [
        {
          apiVersion: `${API_GROUP}/${API_VERSION}`,
          kind: 'WarmPool',
          name: pool.metadata.name,
          uid: pool.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      terminationGracePeriodSeconds: GRACE_SECONDS,
      ...template.spec,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: {
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
        ...asObject(template.spec, 'securityContext'),
      },
      volumes: [
        ...asList(template.spec, 'volumes'),
        shared.volume,
        ...tmp.map(({ volume }) => volume),
        ...sidecarVolumes(standby.sidecars),
      ],
      containers: [
        {
          ...runtimeContainer,
          name: runtimeContainer?.name ?? 'runtime',
          env: [...(runtimeContainer?.env ?? []), ...settings],
          volumeMounts: [...ownMounts, shared.mount, ...tmp.map(({ mount }) => mount)],
          securityContext: RESTRICTED,
        },
        ...others.map((container) => sidecarContainer(container, standby.sidecars, shared.serving, RESTRICTED)),
      ],
    },
  };
}

/**
 * An instance drains for 10 s at the longest (docs/runtime-contract.md), and a runtime that only boots may not hear SIGTERM at all: with
 * the usual 30 s each of them would hold up the drain of its node.
 */
const GRACE_SECONDS = 12;

/** What Pod Security `restricted` asks of a container, and a read-only root. */
const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
} as const;

/** The root is read-only, and functions expect to write somewhere. The kubelet ends a pod that puts more there. */
const TMP = {
  volume: { name: 'warmpool-tmp', emptyDir: { sizeLimit: '512Mi' } },
  mount: { name: 'warmpool-tmp', mountPath: '/tmp' },
};

function isAtTmp(mount: unknown): boolean {
  const { mountPath } = mount as { mountPath?: string };
  return mountPath?.replace(/\/+$/, '') === '/tmp';
}

function asObject(from: object, field: string): object {
  const value = (from as Record<string, unknown>)[field];
  return typeof value === 'object' && value !== null ? value : {};
}

function asList(from: object, field: string): unknown[] {
  const value = (from as Record<string, unknown>)[field];
  return Array.isArray(value) ? value : [];
}
