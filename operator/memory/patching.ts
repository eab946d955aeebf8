import type { JsonPatchOperation, ObjectMeta, Resource } from '../engine/kube-client.ts';
import { badRequest, conflict, invalid, MODIFIED_SINCE } from './api-errors.ts';
import { isJsonObject, type JsonObject, mergePatch } from './json.ts';
import { jsonPatch, JsonPatchFailure } from './json-patch.ts';
import type { StoredObject } from './versioned-store.ts';

/** The object after the patch, before admission; `before` itself when nothing would change. */
export function patched(resource: Resource, before: StoredObject, patch: object): StoredObject & JsonObject {
  const after: unknown = Array.isArray(patch)
    ? jsonPatched(resource, before, patch as JsonPatchOperation[])
    : mergePatched(resource, before, patch);
  return after as StoredObject & JsonObject;
}

function mergePatched(resource: Resource, before: StoredObject, patch: object): unknown {
  if (!isJsonObject(patch)) throw badRequest('a merge patch must be a JSON object');
  const { name, uid, resourceVersion } = before.metadata;
  const given: Partial<ObjectMeta> = isJsonObject(patch['metadata']) ? patch['metadata'] : {};
  if (given.resourceVersion && given.resourceVersion !== resourceVersion)
    throw conflict(resource, name, MODIFIED_SINCE);
  // Checked after the version, and answered otherwise: an apiserver takes it for an attempt to change the uid.
  if (given.uid && given.uid !== uid) {
    throw invalid(resource, name, [`metadata.uid: Invalid value: "${given.uid}": field is immutable`]);
  }
  if (given.name !== undefined && given.name !== name) {
    throw badRequest(`the name of the object (${given.name}) does not match the name on the URL (${name})`);
  }
  return mergePatch(before, patch);
}

function jsonPatched(resource: Resource, before: StoredObject, operations: readonly JsonPatchOperation[]): unknown {
  try {
    return jsonPatch(before, operations);
  } catch (error) {
    if (error instanceof JsonPatchFailure) throw invalid(resource, before.metadata.name, [error.message]);
    throw error;
  }
}
