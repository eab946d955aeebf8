import {
  isRolloutStuck,
  ROLLOUT_MOVES,
  SIDECARS_ARE_CONTAINERS,
  strangeSidecar,
  warmPoolClaimSpecSchema,
  warmPoolClaimStatusSchema,
  type WarmPoolSpec,
  warmPoolSpecSchema,
  warmPoolStatusSchema,
} from '@warmpool/protocol/warm-pool.ts';
import type { z } from 'zod';
import { equalJson, frozenCopy, isJsonObject, type JsonObject, withMembers } from './json.ts';
import type { Admission, KindRules } from './kind-rules.ts';

/**
 * The custom resource definitions by hand: schemas from `protocol/`, and the CEL rules that those carry only as text.
 * The apiserver tier checks that the real ones refuse the same objects.
 */

export const warmPoolRules: KindRules = {
  hasStatus: true,
  hasGeneration: true,
  deletesGracefully: false,
  admitCreate: (object) => admitPool(withMembers(object, { status: undefined })),
  admitUpdate(before, after) {
    if (before['spec'] === after['spec']) return { object: after, problems: [] };
    const admission = admitPool(after);
    const isMoved = !equalJson(memberOf(before['spec'], 'runtime'), memberOf(admission.object['spec'], 'runtime'));
    if (!isMoved) return admission;
    const problem = 'spec.runtime: Invalid value: runtime cannot be changed; make another pool';
    return { ...admission, problems: [...admission.problems, problem] };
  },
  admitStatus: (after) => admitMember(after, 'status', warmPoolStatusSchema),
};

export const warmPoolClaimRules: KindRules = {
  hasStatus: true,
  hasGeneration: true,
  deletesGracefully: false,
  admitCreate: (object) => admitClaim(withMembers(object, { status: undefined })),
  admitUpdate(before, after) {
    if (before['spec'] === after['spec']) return { object: after, problems: [] };
    const admission = admitClaim(after);
    if (equalJson(before['spec'], admission.object['spec'])) return admission;
    const problem = 'spec: Invalid value: a claim cannot be changed; make another';
    return { ...admission, problems: [...admission.problems, problem] };
  },
  admitStatus: (after) => admitMember(after, 'status', warmPoolClaimStatusSchema),
};

function admitPool(object: JsonObject): Admission {
  const admission = admitMember(object, 'spec', warmPoolSpecSchema);
  const template = memberOf(object['spec'], 'template');
  const spec = admission.object['spec'] as JsonObject;
  const problems = [...admission.problems];
  if (admission.problems.length === 0) problems.push(...brokenRules(warmPoolSpecSchema.parse(spec)));
  // The schema knows only the parts of a pod that it reads; the definition preserves the rest.
  const preserved = isJsonObject(spec) ? withMembers(spec, { template }) : spec;
  return { object: withMembers(admission.object, { spec: preserved }), problems };
}

function brokenRules(spec: WarmPoolSpec): string[] {
  const problems: string[] = [];
  if (strangeSidecar(spec) !== undefined) problems.push(`spec: Invalid value: ${SIDECARS_ARE_CONTAINERS.message}`);
  if (isRolloutStuck(spec)) problems.push(`spec.rollout: Invalid value: ${ROLLOUT_MOVES.message}`);
  return problems;
}

function admitClaim(object: JsonObject): Admission {
  const admission = admitMember(object, 'spec', warmPoolClaimSpecSchema);
  const code = memberOf(admission.object['spec'], 'code');
  if (!isJsonObject(code) || (code['url'] === undefined) !== (code['key'] === undefined)) return admission;
  const problem = 'spec.code: Invalid value: exactly one of url and key must be given';
  return { ...admission, problems: [...admission.problems, problem] };
}

function admitMember(object: JsonObject, member: string, schema: z.ZodType): Admission {
  const result = schema.safeParse(object[member]);
  if (result.success) {
    return { object: withMembers(object, { [member]: frozenCopy(result.data) }), problems: [] };
  }
  const problems = result.error.issues.map((issue) => {
    const path = [member, ...issue.path].map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
    );
    return `${path.join('')}: Invalid value: ${issue.message}`;
  });
  return { object, problems };
}

function memberOf(value: unknown, member: string): unknown {
  return isJsonObject(value) ? value[member] : undefined;
}
