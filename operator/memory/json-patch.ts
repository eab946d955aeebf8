import type { JsonPatchOperation } from '../engine/kube-client.ts';
import { equalJson, frozenCopy, isJsonObject, type JsonObject } from './json.ts';

/** Why a JSON patch does not apply; nothing of it has been done. */
export class JsonPatchFailure extends Error {
  override readonly name = 'JsonPatchFailure';
}

/** RFC 6902 without `move` and `copy`. Copies only the paths that change, and gives back `target` itself when none does. */
export function jsonPatch(target: unknown, operations: readonly JsonPatchOperation[]): unknown {
  return operations.reduce((document, operation) => applied(document, segmentsOf(operation), 0, operation), target);
}

function segmentsOf({ path }: JsonPatchOperation): string[] {
  if (!path.startsWith('/')) throw new JsonPatchFailure(`"${path}" is not a JSON pointer to a member`);
  const segments = path.slice(1).split('/');
  return segments.map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function applied(node: unknown, path: readonly string[], depth: number, operation: JsonPatchOperation): unknown {
  const key = path[depth] ?? '';
  const isLast = depth === path.length - 1;
  if (Array.isArray(node)) return inArray(node, key, isLast, path, depth, operation);
  if (!isJsonObject(node)) throw missing(operation);
  const child = Object.hasOwn(node, key) ? node[key] : undefined;
  if (!isLast) return withChild(node, key, child, applied(child, path, depth + 1, operation));
  if (operation.op === 'test') {
    if (!equalJson(child, operation.value)) throw new JsonPatchFailure(`testing value ${operation.path} failed`);
    return node;
  }
  // `replace` adds a member that is not there: against the RFC, but as an apiserver does it.
  if (child === undefined && operation.op === 'remove') throw missing(operation);
  if (operation.op !== 'remove') {
    return withChild(node, key, child, equalJson(child, operation.value) ? child : frozenCopy(operation.value));
  }
  const rest: Record<string, unknown> = { ...node };
  delete rest[key];
  return Object.freeze(rest);
}

function inArray(
  items: readonly unknown[],
  key: string,
  isLast: boolean,
  path: readonly string[],
  depth: number,
  operation: JsonPatchOperation,
): unknown {
  const isAppend = isLast && operation.op === 'add';
  const index = key === '-' && isAppend ? items.length : /^(0|[1-9]\d*)$/.test(key) ? Number(key) : -1;
  if (index < 0 || index > items.length || (index === items.length && !isAppend)) throw missing(operation);
  const child = items[index];
  if (!isLast) {
    const next = applied(child, path, depth + 1, operation);
    return next === child ? items : Object.freeze(items.with(index, next));
  }
  switch (operation.op) {
    case 'test':
      if (!equalJson(child, operation.value)) throw new JsonPatchFailure(`testing value ${operation.path} failed`);
      return items;
    case 'add':
      return Object.freeze(items.toSpliced(index, 0, frozenCopy(operation.value)));
    case 'replace':
      return Object.freeze(items.with(index, frozenCopy(operation.value)));
    case 'remove':
      return Object.freeze(items.toSpliced(index, 1));
  }
}

function withChild(node: JsonObject, key: string, child: unknown, next: unknown): JsonObject {
  return next === child ? node : Object.freeze({ ...node, [key]: next });
}

function missing({ op, path }: JsonPatchOperation): JsonPatchFailure {
  return new JsonPatchFailure(`${op} operation does not apply: doc is missing path: "${path}"`);
}
