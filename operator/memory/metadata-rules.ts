import type { ObjectMeta, OwnerReference } from '../engine/kube-client.ts';
import { equalJson } from './json.ts';

/** What every apiserver demands of metadata, as problems that name the field. */

const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const ANNOTATIONS_LIMIT_BYTES = 262_144;

export function metadataProblems(metadata: ObjectMeta): string[] {
  const problems: string[] = [];
  if (metadata.name.length > 253 || !NAME.test(metadata.name)) {
    problems.push(`metadata.name: Invalid value: "${metadata.name}": a lowercase RFC 1123 subdomain must be used`);
  }
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!isQualifiedName(key)) problems.push(`metadata.labels: Invalid value: "${key}": not a qualified name`);
    if (!LABEL_VALUE.test(value)) {
      problems.push(`metadata.labels: Invalid value: "${value}": must be at most 63 characters of [-A-Za-z0-9_.]`);
    }
  }
  let annotationBytes = 0;
  for (const [key, value] of Object.entries(metadata.annotations ?? {})) {
    annotationBytes += key.length + Buffer.byteLength(value);
    if (!isQualifiedName(key.toLowerCase())) {
      problems.push(`metadata.annotations: Invalid value: "${key}": not a qualified name`);
    }
  }
  if (annotationBytes > ANNOTATIONS_LIMIT_BYTES) {
    problems.push(`metadata.annotations: Too long: may not be more than ${ANNOTATIONS_LIMIT_BYTES} bytes`);
  }
  return [...problems, ...ownerProblems(metadata.ownerReferences ?? [])];
}

/** Of an update: what may never change, and what may not change any more once deletion has begun. */
export function metadataUpdateProblems(before: ObjectMeta, after: ObjectMeta): string[] {
  const problems: string[] = [];
  if (after.deletionTimestamp !== before.deletionTimestamp) {
    problems.push(`metadata.deletionTimestamp: Invalid value: "${after.deletionTimestamp}": field is immutable`);
  }
  if (before.deletionTimestamp !== undefined) {
    const added = (after.finalizers ?? []).filter((finalizer) => !before.finalizers?.includes(finalizer));
    if (added.length > 0) {
      problems.push(
        `metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
      );
    }
  }
  const isChecked =
    equalJson(before.labels, after.labels) &&
    equalJson(before.annotations, after.annotations) &&
    equalJson(before.ownerReferences, after.ownerReferences);
  return isChecked ? problems : [...problems, ...metadataProblems(after)];
}

function isQualifiedName(key: string): boolean {
  const slash = key.lastIndexOf('/');
  if (slash === -1) return LABEL_NAME.test(key);
  const prefix = key.slice(0, slash);
  return prefix.length <= 253 && NAME.test(prefix) && LABEL_NAME.test(key.slice(slash + 1));
}

function ownerProblems(owners: readonly OwnerReference[]): string[] {
  const problems: string[] = [];
  for (const owner of owners) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (!owner[field]) problems.push(`metadata.ownerReferences.${field}: Invalid value: "": must not be empty`);
    }
  }
  if (owners.filter((owner) => owner.controller === true).length > 1) {
    problems.push('metadata.ownerReferences: Invalid value: Only one reference can have Controller set to true');
  }
  return problems;
}
