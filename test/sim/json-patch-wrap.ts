import { KubeError, type JsonPatchOperation, type KubeObject, type Stored } from '@warmpool/operator/engine/kube-client.ts';

/** A JSON patch as the merge patch that has the same effect on this very version of the object. */
export function asMergePatch(object: Stored<KubeObject>, operations: readonly JsonPatchOperation[]): object {
  const patch: Record<string, unknown> = { metadata: { resourceVersion: object.metadata.resourceVersion } };
  for (const operation of operations) {
    const path = operation.path
      .slice(1)
      .split('/')
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
    const current = path.reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], object);
    if (operation.op === 'test') {
      if (JSON.stringify(current) !== JSON.stringify(operation.value)) throw refused(object, operation.path);
      continue;
    }
    if (operation.op !== 'add' && current === undefined) throw refused(object, operation.path);
    let target = patch;
    for (const part of path.slice(0, -1)) target = (target[part] ??= {}) as Record<string, unknown>;
    target[path.at(-1) ?? ''] = operation.op === 'remove' ? null : operation.value;
  }
  return patch;
}

function refused(object: KubeObject, path: string): KubeError {
  return new KubeError(422, 'Invalid', `${object.metadata.name}: the patch does not fit at ${path}`);
}
