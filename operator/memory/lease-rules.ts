import { badRequest } from './api-errors.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { Admission, KindRules } from './kind-rules.ts';
import { microTimeProblems } from './micro-time.ts';

const TIMES = ['acquireTime', 'renewTime'];
const LOWEST = [
  ['leaseDurationSeconds', 1],
  ['leaseTransitions', 0],
] as const;

export const leaseRules: KindRules = {
  hasStatus: false,
  hasGeneration: false,
  deletesGracefully: false,
  admitCreate(object) {
    const [unparsed] = microTimeProblems(specOf(object), TIMES);
    if (unparsed) throw badRequest(`Lease in version "v1" cannot be handled as a Lease: ${unparsed}`);
    return admit(object);
  },
  admitUpdate(_before, after) {
    // In a patch what cannot be parsed is invalid (422), not a bad request.
    const unparsed = microTimeProblems(specOf(after), TIMES);
    return unparsed.length > 0 ? { object: after, problems: unparsed } : admit(after);
  },
};

function admit(object: JsonObject): Admission {
  const spec = specOf(object);
  const problems = LOWEST.flatMap(([field, lowest]) => {
    const value = spec[field];
    const isTooLow = typeof value === 'number' && value < lowest;
    return isTooLow ? [`spec.${field}: Invalid value: ${value}: must be at least ${lowest}`] : [];
  });
  return { object, problems };
}

function specOf(object: JsonObject): JsonObject {
  return isJsonObject(object['spec']) ? object['spec'] : {};
}
