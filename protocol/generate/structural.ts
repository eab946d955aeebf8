import { z } from 'zod';

/** A node of an OpenAPI v3 schema that the apiserver takes as structural. */
export type StructuralSchema = Record<string, unknown>;

/** A zod schema that no structural schema can express; says where. */
class NotStructural extends Error {
  constructor(path: string, problem: string) {
    super(`${path || '(root)'} ${problem}`);
  }
}

/** What a structural schema may hold, besides `x-kubernetes-*` and what is handled by itself below. */
const PLAIN_KEYWORDS = new Set([
  'type',
  'required',
  'enum',
  'default',
  'description',
  'format',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
  'nullable',
]);

/**
 * From zod to what a CustomResourceDefinition takes. Unknown fields are pruned by the apiserver, so "no other fields" is left out;
 * the range of exact doubles, which zod adds to integers, becomes `format: int64`.
 */
export function toStructural(schema: z.ZodType): StructuralSchema {
  // As a client writes it (`input`): a field with a default is not required.
  return convert(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', unrepresentable: 'throw' }), '');
}

function convert(node: object, path: string): StructuralSchema {
  const entries = Object.entries(node);
  const result: StructuralSchema = {};
  const isIntOrString = entries.some(([key, value]) => key === 'x-kubernetes-int-or-string' && value === true);
  for (const [key, value] of entries) {
    if (key.startsWith('x-kubernetes-') || (PLAIN_KEYWORDS.has(key) && !isIntOrString)) result[key] = value;
    else if (key === 'properties') result[key] = convertProperties(value as Record<string, object>, path);
    else if (key === 'items') result[key] = convert(value as object, `${path}[]`);
    else if (key === 'pattern') result[key] = checkedPattern(value as string, path);
    else if (key === 'additionalProperties') convertAdditional(value as object | boolean, path, node, result);
    else if (!isIntOrString) throw new NotStructural(path, `uses "${key}", which a structural schema cannot hold`);
    else if (key === 'description' || key === 'default') result[key] = value;
  }
  const isOpen = result['x-kubernetes-preserve-unknown-fields'] === true;
  if (result['type'] === undefined && !isIntOrString && !isOpen) throw new NotStructural(path, 'has no type');
  return result['type'] === 'integer' ? asInt64(result) : result;
}

function convertProperties(properties: Record<string, object>, path: string): StructuralSchema {
  return Object.fromEntries(
    Object.entries(properties).map(([name, property]) => [name, convert(property, path ? `${path}.${name}` : name)]),
  );
}

/** `false` and `{}` beside properties are zod's strict and loose objects: pruning decides there. */
function convertAdditional(value: object | boolean, path: string, node: object, result: StructuralSchema): void {
  if (typeof value === 'boolean' || Object.keys(value).length === 0) {
    if (!('properties' in node)) throw new NotStructural(path, 'is an object without known fields');
    return;
  }
  if ('properties' in node) throw new NotStructural(path, 'has both known fields and a schema for others');
  result['additionalProperties'] = convert(value, `${path}{}`);
}

/** The apiserver's patterns are RE2. */
function checkedPattern(pattern: string, path: string): string {
  if (/\(\?<?[=!]/.test(pattern)) throw new NotStructural(path, `has a pattern with look-around: ${pattern}`);
  if (/\\[1-9]/.test(pattern)) throw new NotStructural(path, `has a pattern with a back-reference: ${pattern}`);
  return pattern;
}

function asInt64(schema: StructuralSchema): StructuralSchema {
  const { minimum, maximum, ...rest } = schema;
  return {
    ...rest,
    format: 'int64',
    ...(minimum !== undefined && minimum !== Number.MIN_SAFE_INTEGER && { minimum }),
    ...(maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER && { maximum }),
  };
}
