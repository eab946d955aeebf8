import { z } from 'zod';
import { errorBodySchema } from '../errors.ts';
import {
  agentKillRequestSchema,
  CONTRACT_VERSION,
  healthReplySchema,
  killReplySchema,
  loadReplySchema,
  loadRequestSchema,
  logsReplySchema,
  runtimeManifestSchema,
  statusReplySchema,
  terminationSchema,
} from '../runtime-agent-api.ts';

/** By the name in the page's marker: how to write that part. */
export const AGENT_SCHEMA_SECTIONS: Record<string, () => string> = {
  manifest: () => fieldTable(runtimeManifestSchema),
  'load-request': () => fieldTable(loadRequestSchema),
  'load-reply': () => fieldTable(loadReplySchema),
  health: () => fieldTable(healthReplySchema),
  status: () => fieldTable(statusReplySchema),
  'kill-request': () => fieldTable(agentKillRequestSchema),
  'kill-reply': () => fieldTable(killReplySchema),
  logs: () => fieldTable(logsReplySchema),
  error: () => fieldTable(errorBodySchema),
  termination: () => fieldTable(terminationSchema),
};

/** docs/api/runtime-contract.schema.json: one JSON Schema, its parts under `$defs`. */
export function contractJsonSchema(): object {
  const parts = {
    Manifest: runtimeManifestSchema,
    LoadRequest: loadRequestSchema,
    LoadReply: loadReplySchema,
    Health: healthReplySchema,
    Status: statusReplySchema,
    KillRequest: agentKillRequestSchema,
    KillReply: killReplySchema,
    Logs: logsReplySchema,
    Error: errorBodySchema,
    Termination: terminationSchema,
  };
  const schemas = Object.entries(parts).map(([name, part]) => {
    const { $schema: _, ...schema } = z.toJSONSchema(part, { io: 'input', unrepresentable: 'any' });
    return [name, schema];
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `https://warmpool.dev/schemas/runtime-contract-${CONTRACT_VERSION}.json`,
    title: `warmpool runtime contract ${CONTRACT_VERSION}`,
    $defs: Object.fromEntries(schemas) as object,
  };
}

interface JsonSchema {
  type?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  default?: unknown;
}

/** A Markdown table: every field of an object, nested ones with a dotted path. */
function fieldTable(schema: z.ZodType): string {
  const root = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const rows = fieldsOf(root, '').map(
    ({ path, type, isRequired, bounds }) => `| \`${path}\` | ${type} | ${isRequired ? 'yes' : ''} | ${bounds} |`,
  );
  return ['| field | type | required | bounds |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

interface Field {
  path: string;
  type: string;
  isRequired: boolean;
  bounds: string;
}

function fieldsOf(node: JsonSchema, prefix: string): Field[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, property]) => {
    const path = prefix + name;
    const isRequired = node.required?.includes(name) ?? false;
    const field = { path, type: typeOf(property), isRequired, bounds: boundsOf(property) };
    const inner = property.items ? fieldsOf(property.items, `${path}[].`) : fieldsOf(property, `${path}.`);
    return [field, ...inner];
  });
}

function typeOf(node: JsonSchema): string {
  if (node.type === 'array') return `array of ${typeOf(node.items ?? {})}`;
  if (typeof node.additionalProperties === 'object' && !node.properties) {
    return `map of ${typeOf(node.additionalProperties)}`;
  }
  return node.type ?? 'any';
}

function boundsOf(node: JsonSchema): string {
  const parts: string[] = [];
  if (node.const !== undefined) parts.push(code(node.const));
  if (node.enum) parts.push(node.enum.map(code).join(', '));
  if (node.pattern !== undefined) parts.push(`\`${node.pattern.replaceAll('|', '\\|')}\``);
  if (node.minimum !== undefined && node.minimum !== Number.MIN_SAFE_INTEGER) parts.push(`at least ${node.minimum}`);
  if (node.maximum !== undefined && node.maximum !== Number.MAX_SAFE_INTEGER) parts.push(`at most ${node.maximum}`);
  if (node.maxLength !== undefined) parts.push(`at most ${node.maxLength} characters`);
  if (node.default !== undefined) parts.push(`default ${code(node.default)}`);
  return parts.join('; ');
}

function code(value: unknown): string {
  return `\`${JSON.stringify(value)}\``;
}
