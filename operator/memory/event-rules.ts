import { badRequest } from './api-errors.ts';
import { isJsonObject, type JsonObject } from './json.ts';
import type { Admission, KindRules } from './kind-rules.ts';
import { microTimeProblems } from './micro-time.ts';

/** events.k8s.io/v1 as the apiserver checks new events; one that lacks a field is refused, not stored half. */
const REQUIRED_TEXTS = [
  ['reportingController', 'reportingController', 253],
  ['reportingInstance', 'reportingInstance', 128],
  ['action', 'action', 128],
  ['reason', 'reason', 128],
] as const;
const NOTE_LIMIT = 1024;

export const eventRules: KindRules = {
  hasStatus: false,
  hasGeneration: false,
  deletesGracefully: false,
  admitCreate(object): Admission {
    const [unparsed] = microTimeProblems(object, ['eventTime']);
    if (unparsed) throw badRequest(`Event in version "v1" cannot be handled as a Event: ${unparsed}`);
    const problems: string[] = [];
    if (object['eventTime'] === undefined) problems.push('eventTime: Required value');
    for (const [field, shown, limit] of REQUIRED_TEXTS) {
      const value = object[field];
      if (typeof value !== 'string' || value === '') problems.push(`${shown}: Required value`);
      else if (value.length > limit) problems.push(`${shown}: Invalid value: can have at most ${limit} characters`);
    }
    if (object['type'] !== 'Normal' && object['type'] !== 'Warning') {
      problems.push(`type: Invalid value: ${JSON.stringify(object['type'] ?? '')}: must be Normal or Warning`);
    }
    if (typeof object['note'] === 'string' && object['note'].length > NOTE_LIMIT) {
      problems.push(`note: Invalid value: can have at most ${NOTE_LIMIT} characters`);
    }
    problems.push(...namespaceProblems(object));
    return { object, problems };
  },
};

function namespaceProblems(object: JsonObject): string[] {
  const regarding = isJsonObject(object['regarding']) ? object['regarding'] : {};
  const namespace = isJsonObject(object['metadata']) ? object['metadata']['namespace'] : undefined;
  return regarding['namespace'] === namespace
    ? []
    : ['regarding.namespace: Invalid value: does not match event.namespace'];
}
