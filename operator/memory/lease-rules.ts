import { isJsonObject, type JsonObject } from './json.ts';
import { badRequest } from './api-errors.ts';
import type { Admission, KindRules } from './kind-rules.ts';

/** metav1.MicroTime: exactly six digits. A `Date` printed as ISO has three and is refused before anything else is looked at. */
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;

export function requireMicroTime(object: JsonObject, kind: string, field: string): void {
  const value = object[field];
  if (value === undefined || (typeof value === 'string' && MICRO_TIME.test(value))) return;
  throw badRequest(
    `${kind} in version "v1" cannot be handled as a ${kind}: ${field} is not a MicroTime: ${JSON.stringify(value)}`,
  );
}

function admit(object: JsonObject): Admission {
  const spec = isJsonObject(object['spec']) ? object['spec'] : {};
  requireMicroTime(spec, 'Lease', 'acquireTime');
  requireMicroTime(spec, 'Lease', 'renewTime');
  const problems: string[] = [];
  for (const [field, lowest] of [
    ['leaseDurationSeconds', 1],
    ['leaseTransitions', 0],
  ] as const) {
    const value = spec[field];
    if (typeof value === 'number' && value < lowest) {
      problems.push(`spec.${field}: Invalid value: ${value}: must be at least ${lowest}`);
    }
  }
  return { object, problems };
}

export const leaseRules: KindRules = {
  hasStatus: false,
  hasGeneration: false,
  deletesGracefully: false,
  admitCreate: admit,
  admitUpdate: (_before, after) => admit(after),
};
