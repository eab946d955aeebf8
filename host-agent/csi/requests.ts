import { z } from 'zod';
import { podUidSchema } from '@warmpool/protocol/fields.ts';
import type { KubeletDir } from '../volumes/kubelet-dir.ts';

/** What the kubelet must send, on top of the protocol's own types. Names are those of the protocol. */

const POD_UID = 'csi.storage.k8s.io/pod.uid';
const POD_NAME = 'csi.storage.k8s.io/pod.name';
const POD_NAMESPACE = 'csi.storage.k8s.io/pod.namespace';
const EPHEMERAL = 'csi.storage.k8s.io/ephemeral';
const NO_POD_INFO = 'is missing: the CSIDriver object must say podInfoOnMount: true';

const volumeId = z
  .string()
  .min(1, 'is missing')
  .max(256, 'has more than 256 characters')
  // control characters have no place in logs
  .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII');
const podNameSchema = (missing: string) => z.string(missing).min(1, missing).max(253, 'has more than 253 characters');

const targetPath = (kubelet: KubeletDir) =>
  z
    .string()
    .min(1, 'is missing')
    .transform((path, context) => {
      const target = kubelet.parseTarget(path);
      if (target !== undefined) return target;
      context.addIssue('must be <kubelet-dir>/pods/<uid>/volumes/kubernetes.io~csi/<name>/mount');
      return z.NEVER;
    });

const volumeContextSchema = z.looseObject({
  [EPHEMERAL]: z.literal('true', 'must be "true": this driver has inline volumes only'),
  [POD_UID]: z.string(NO_POD_INFO).pipe(podUidSchema),
  [POD_NAME]: podNameSchema(NO_POD_INFO),
  [POD_NAMESPACE]: podNameSchema(NO_POD_INFO),
});

const capabilitySchema = z
  .object({ access_type: z.string().optional() }, 'is missing')
  .refine(({ access_type }) => access_type === 'mount', 'must have access type mount');

export function publishRequestSchema(kubelet: KubeletDir) {
  return z
    .object({
      volume_id: volumeId,
      target_path: targetPath(kubelet),
      volume_capability: capabilitySchema,
      readonly: z.literal(false, "must not be true: the pod's agent makes its socket in the volume"),
      volume_context: volumeContextSchema,
    })
    .transform(({ target_path: target, volume_context: context }, issues) => {
      if (context[POD_UID] !== target.podUid) {
        issues.addIssue({ code: 'custom', path: ['target_path'], message: `is not one of pod ${context[POD_UID]}` });
      }
      return { target, podName: context[POD_NAME], namespace: context[POD_NAMESPACE] };
    });
}

export function unpublishRequestSchema(kubelet: KubeletDir) {
  return z
    .object({ volume_id: volumeId, target_path: targetPath(kubelet) })
    .transform(({ target_path }) => target_path);
}
