import type { ClaimRecord } from '@warmpool/protocol/claim-record.ts';
import { ANNOTATION_CLAIM, ANNOTATION_IDLE_UNTIL, LABEL_CLAIM, LABEL_STATE } from '@warmpool/protocol/names.ts';
import type { JsonPatchOperation, OwnerReference } from '../engine/kube-client.ts';

/**
 * The writes that change whose a pod is. Each tests what it starts from inside the write itself, so that of two writers one wins,
 * and tests nothing else: the kubelet's status updates, which come just when a pod becomes standby, do not get in the way.
 */

const STATE = pointer('labels', LABEL_STATE);
const CLAIM = pointer('labels', LABEL_CLAIM);
const RECORD = pointer('annotations', ANNOTATION_CLAIM);
const IDLE_UNTIL = pointer('annotations', ANNOTATION_IDLE_UNTIL);
const OWNERS = '/metadata/ownerReferences';
/**
 * From here on the apiserver no longer keeps account of who set which field of this object: a third of what the write costs it, and half
 * of the object's bytes for everyone who watches. An empty list would leave things as they are; this is the value that ends it.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields
 */
const END_OF_FIELD_TRACKING = { op: 'add', path: '/metadata/managedFields', value: [{}] } as const;

/** standby → claimed. The pool no longer owns the pod; the WarmPoolClaim does, if there is one. */
export function claimStandby(
  uid: string,
  record: ClaimRecord,
  owner: OwnerReference | undefined,
): JsonPatchOperation[] {
  return [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path: STATE, value: 'standby' },
    { op: 'replace', path: STATE, value: 'claimed' },
    { op: 'add', path: CLAIM, value: record.claimId },
    { op: 'add', path: RECORD, value: JSON.stringify(record) },
    owner === undefined ? { op: 'remove', path: OWNERS } : { op: 'replace', path: OWNERS, value: [owner] },
    END_OF_FIELD_TRACKING,
  ];
}

/** standby → retired: out of reach of every claim, so that it can be deleted. */
export function retireStandby(uid: string): JsonPatchOperation[] {
  return [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path: STATE, value: 'standby' },
    { op: 'replace', path: STATE, value: 'retired' },
  ];
}

/** An idle instance → the next claim's. */
export function claimIdle(
  uid: string,
  releasedClaimId: string,
  record: ClaimRecord,
  owner: OwnerReference | undefined,
): JsonPatchOperation[] {
  return [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path: CLAIM, value: releasedClaimId },
    { op: 'replace', path: CLAIM, value: record.claimId },
    { op: 'replace', path: RECORD, value: JSON.stringify(record) },
    { op: 'remove', path: IDLE_UNTIL },
    ...(owner === undefined ? [] : [{ op: 'add' as const, path: OWNERS, value: [owner] }]),
  ];
}

function pointer(map: 'labels' | 'annotations', name: string): string {
  return `/metadata/${map}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
