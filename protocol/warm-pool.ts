import { z } from 'zod';
import { poolCodeSchema } from './pool-code.ts';

/**
 * WarmPool (`warmpool.dev/v1alpha1`). Written so that `generate/structural.ts` can turn it into a structural schema: no unions, no
 * transforms, no look-around in patterns, every list and string bounded. Quantities follow Kubernetes.
 */

const quantity = z.string().max(32);

/** The part of a pod template that Warmpool reads; the rest passes through to the pod unseen. */
export const podTemplateSchema = z
  .object({
    metadata: z
      .object({
        labels: z.record(z.string(), z.string()).optional(),
        annotations: z.record(z.string(), z.string()).optional(),
      })
      .optional(),
    spec: z
      .object({
        containers: z
          .array(
            z
              .object({
                name: z.string().min(1).max(63),
                image: z.string().max(512).optional(),
                resources: z
                  .object({
                    requests: z.record(z.string(), quantity).optional(),
                    limits: z.record(z.string(), quantity).optional(),
                  })
                  .optional(),
              })
              .meta({ 'x-kubernetes-preserve-unknown-fields': true }),
          )
          .min(1)
          .max(16)
          .describe('The first container is the runtime; it must hold a runtime-agent.'),
      })
      .meta({ 'x-kubernetes-preserve-unknown-fields': true }),
  })
  .describe(
    'Pod template: image, resources, scheduling. The operator adds volume, probes, security context and labels.',
  );

/** How a sidecar is told whose it is: docs/sidecars.md. */
export const sidecarReloadSchema = z.enum(['HTTP', 'Script']);

const sidecarSchema = z.object({
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
    .describe('A container of the template, other than the first.'),
  reload: sidecarReloadSchema.describe(
    'HTTP: POST /reload on the unix socket reload.sock that the sidecar makes in its folder. Script: a line into the named pipe "reload" that it makes there, answered by a file "reloaded" or "failed".',
  ),
  timeoutSeconds: z.int().min(1).max(60).default(5).describe('Longer than this, and the pod is given up.'),
});

export const onEmptySchema = z.enum(['Wait', 'Cold', 'Reject']);

/** The rule below for those who have no apiserver: the name of a sidecar that breaks it. */
export function strangeSidecar({ standby, template }: z.output<typeof warmPoolSpecSchema>): string | undefined {
  const others = template.spec.containers.slice(1).map(({ name }) => name);
  return standby.sidecars.find(({ name }) => !others.includes(name))?.name;
}

export const SIDECARS_ARE_CONTAINERS = {
  rule: 'self.standby.sidecars.all(s, self.template.spec.containers.exists(c, c.name == s.name) && self.template.spec.containers[0].name != s.name)',
  message: 'each of standby.sidecars must be a container of the template, other than the first',
};

/** For those who have no apiserver. */
export function isRolloutStuck({ rollout }: z.output<typeof warmPoolSpecSchema>): boolean {
  return rollout.maxUnavailable === 0 && rollout.maxSurge === 0;
}

export const ROLLOUT_MOVES = {
  // the apiserver also tries it on the default of the whole object, before the defaults inside
  rule: '!has(self.maxUnavailable) || self.maxUnavailable > 0 || (has(self.maxSurge) && self.maxSurge > 0)',
  message: 'maxUnavailable and maxSurge must not both be 0',
};

export const warmPoolSpecSchema = z
  .object({
    runtime: z
      .object({
        name: z
          .string()
          .min(1)
          .max(32)
          .regex(/^[a-z][a-z0-9-]*$/)
          .describe('For example nodejs, python.'),
        version: z
          .string()
          .min(1)
          .max(32)
          .regex(/^[0-9A-Za-z][0-9A-Za-z._-]*$/),
      })
      .describe('What this pool serves. Cannot be changed: make another pool.')
      .meta({
        'x-kubernetes-validations': [
          { rule: 'self == oldSelf', message: 'runtime cannot be changed; make another pool' },
        ],
      }),
    replicas: z.int().min(0).max(5000).default(1).describe('Standby pods wanted. Claimed pods do not count.'),
    template: podTemplateSchema,
    agentVolume: z
      .enum(['CSI', 'HostPath'])
      .default('CSI')
      .describe(
        'How pods share a folder with the host-agent of their node: a CSI inline volume, or hostPath where those cannot be used (docs/pod-volume.md says what that costs).',
      ),
    code: poolCodeSchema.optional(),
    standby: z
      .object({
        preImport: z
          .array(z.string().min(1).max(214))
          .max(64)
          .default([])
          .describe(
            'Modules that standby interpreters import before they are ready. A function gets one only in the place of its own with the same content (docs/runtime-images.md).',
          ),
        rehearse: z.boolean().default(true).describe('Run the load path once with a throw-away module before standby.'),
        readySeconds: z
          .int()
          .min(1)
          .max(3600)
          .default(60)
          .describe(
            'A pod that is not standby this long after its creation is replaced. One that was made with others gets this time again for every ten of them, ten times at most.',
          ),
        sidecars: z
          .array(sidecarSchema)
          .max(8)
          .default([])
          .describe('Containers that wait without identity, and are given the service metadata of the claim at load.')
          .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
      })
      .prefault({}),
    claims: z
      .object({
        onEmpty: onEmptySchema.default('Wait').describe('What a claim does when nothing is standby.'),
        queueLength: z.int().min(0).max(100_000).default(1000),
        maxWaitSeconds: z.int().min(0).max(600).default(30),
        ttlSecondsAfterReady: z
          .int()
          .min(0)
          .max(604_800)
          .default(0)
          .describe('An instance lives at most this long; 0 = no limit.'),
        idleTimeoutSeconds: z
          .int()
          .min(0)
          .max(604_800)
          .default(900)
          .describe('An instance without requests for this long is deleted; 0 = never.'),
      })
      .prefault({}),
    rollout: z
      .object({
        maxUnavailable: z
          .int()
          .min(0)
          .max(5000)
          .default(1)
          .describe('Ready standby pods of an old template that are removed before their replacements are ready.'),
        maxSurge: z
          .int()
          .min(0)
          .max(5000)
          .default(0)
          .describe('Standby pods of a new template that are made beyond `replicas` before old ones are removed.'),
      })
      .meta({ 'x-kubernetes-validations': [ROLLOUT_MOVES] })
      .prefault({}),
  })
  .meta({ 'x-kubernetes-validations': [SIDECARS_ARE_CONTAINERS] });
export type WarmPoolSpec = z.output<typeof warmPoolSpecSchema>;

/** metav1.Condition */
export const conditionSchema = z.object({
  type: z.string().min(1).max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32_768),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.string().meta({ format: 'date-time' }),
});
export type Condition = z.output<typeof conditionSchema>;

const conditionsSchema = z
  .array(conditionSchema)
  .max(16)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });

export const warmPoolStatusSchema = z.object({
  observedGeneration: z.int().optional(),
  replicas: z.int().optional().describe('Standby and booting pods.'),
  readyReplicas: z.int().optional().describe('Standby pods that a claim can take now.'),
  updatedReplicas: z.int().optional(),
  updatedReadyReplicas: z.int().optional(),
  claimedReplicas: z.int().optional(),
  recommendedReplicas: z.int().optional(),
  selector: z.string().optional().describe('Of standby pods, for the scale subresource.'),
  conditions: conditionsSchema.optional(),
});
export type WarmPoolStatus = z.output<typeof warmPoolStatusSchema>;

const objectMetaSchema = z.looseObject({
  name: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, 'must be 1 to 63 lower-case letters, digits or "-"'),
  namespace: z.string().optional(),
});

/** A whole object as a person writes it in YAML: defaults filled in, unknown fields refused where the apiserver would warn. */
export const warmPoolManifestSchema = z.object({
  apiVersion: z.literal('warmpool.dev/v1alpha1'),
  kind: z.literal('WarmPool'),
  metadata: objectMetaSchema,
  spec: warmPoolSpecSchema,
});

/** A claim as an object: created by a person or a controller, ends in the same code as the claim API. */
export const warmPoolClaimSpecSchema = z
  .object({
    poolName: z.string().min(1).max(63),
    function: z.object({
      name: z.string().min(1).max(253),
      version: z.string().min(1).max(128),
      tenant: z.string().min(1).max(63),
    }),
    code: z
      .object({
        url: z.string().max(2048).optional(),
        key: z.string().max(1024).optional(),
        digest: z
          .string()
          .max(71)
          .regex(/^sha256:[0-9a-f]{64}$/),
        format: z.enum(['tar', 'tar.gz', 'tar.zst', 'zip', 'file']),
        fileName: z.string().max(128).optional(),
      })
      .meta({
        'x-kubernetes-validations': [
          { rule: 'has(self.url) != has(self.key)', message: 'exactly one of url and key must be given' },
        ],
      }),
    kind: z.enum(['handler', 'http']).default('handler'),
    handler: z.string().min(1).max(256),
    envFrom: z
      .array(z.object({ secretName: z.string().min(1).max(253) }))
      .max(16)
      .default([])
      .describe('Secrets of the same namespace whose keys become env. Values are never written into this object.'),
    service: z.record(z.string(), z.string().max(1024)).meta({ maxProperties: 64 }).optional(),
    resources: z
      .object({
        cpu: z
          .string()
          .max(10)
          .regex(/^([1-9][0-9]*m|[1-9][0-9]*(\.[0-9]{1,3})?|0\.[0-9]{1,3})$/)
          .describe(
            'Raised to this in place beside the load, where the cluster can; a quantity, for example 500m or 2.',
          ),
      })
      .optional(),
    requestTimeoutMs: z.int().min(1).max(900_000).default(30_000),
    initTimeoutMs: z.int().min(1).max(300_000).default(10_000),
    deadlineSeconds: z.int().min(1).max(600).default(30),
    ttlSeconds: z.int().min(0).max(604_800).optional(),
    idleTimeoutSeconds: z.int().min(0).max(604_800).optional(),
  })
  .meta({
    'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'a claim cannot be changed; make another' }],
  });
export type WarmPoolClaimSpec = z.output<typeof warmPoolClaimSpecSchema>;

export const warmPoolClaimStatusSchema = z.object({
  phase: z.enum(['Queued', 'Loading', 'Ready', 'Failed', 'Released']).optional(),
  podName: z.string().optional(),
  podUid: z.string().optional(),
  nodeName: z.string().optional(),
  address: z.string().optional(),
  source: z.enum(['standby', 'reused', 'cold']).optional(),
  readyAt: z.string().meta({ format: 'date-time' }).optional(),
  conditions: conditionsSchema.optional(),
});
export type WarmPoolClaimStatus = z.output<typeof warmPoolClaimStatusSchema>;
