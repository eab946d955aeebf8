import { equalJson, isJsonObject, type JsonObject, withMembers } from './json.ts';
import type { Admission, KindRules } from './kind-rules.ts';

/** The only parts of a pod's spec that an update may change; containers may change their image too. */
const MUTABLE = ['activeDeadlineSeconds', 'tolerations', 'terminationGracePeriodSeconds'];

export const podRules: KindRules = {
  hasStatus: true,
  statusCarriesMetadata: true,
  hasGeneration: true,
  deletesGracefully: true,

  admitCreate(object): Admission {
    const spec = isJsonObject(object['spec']) ? object['spec'] : {};
    const defaulted = Object.freeze({ restartPolicy: 'Always', terminationGracePeriodSeconds: 30, ...spec });
    return {
      object: withMembers(object, { spec: defaulted, status: Object.freeze({ phase: 'Pending' }) }),
      problems: containerProblems(defaulted),
    };
  },

  admitUpdate(before, after): Admission {
    const isAllowed = equalJson(immutablePart(before, after), immutablePart(after, after));
    return {
      object: after,
      problems: isAllowed
        ? []
        : [
            'spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations`,`spec.terminationGracePeriodSeconds`',
          ],
    };
  },
};

function containerProblems(spec: JsonObject): string[] {
  const containers = Array.isArray(spec['containers']) ? (spec['containers'] as unknown[]) : [];
  if (containers.length === 0) return ['spec.containers: Required value'];
  return containers.flatMap((container, index) =>
    isJsonObject(container) && typeof container['name'] === 'string' && container['name'] !== ''
      ? []
      : [`spec.containers[${index}].name: Required value`],
  );
}

function immutablePart(pod: JsonObject, after: JsonObject): JsonObject {
  const spec: Record<string, unknown> = { ...(pod['spec'] as JsonObject) };
  for (const field of MUTABLE) delete spec[field];
  // Stands in for the binding subresource, which sets the node exactly once.
  spec['nodeName'] ??= (after['spec'] as JsonObject)['nodeName'];
  if (Array.isArray(spec['containers'])) {
    spec['containers'] = spec['containers'].map((container: JsonObject) => ({ ...container, image: undefined }));
  }
  return spec;
}
