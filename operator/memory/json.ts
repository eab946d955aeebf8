/**
 * Plain JSON values as the memory cluster keeps them: deeply frozen, so that a reader can hold what it was given and nobody can change
 * what is stored. An update copies only the path that it changes.
 */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What would be left after a trip over the wire: no undefined members, nothing shared with the caller. */
export function frozenCopy<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return Object.freeze(value.map((item: unknown) => frozenCopy(item ?? null))) as T;
  const copy: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    if (member !== undefined && key !== '__proto__') copy[key] = frozenCopy(member as unknown);
  }
  return Object.freeze(copy) as T;
}

export function equalJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((item, index) => equalJson(item, right[index]))
    );
  }
  if (!isJsonObject(left) || !isJsonObject(right)) return false;
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && equalJson(left[key], right[key]))
  );
}

/** RFC 7386. Gives back `target` itself when the patch changes nothing: identity is how a no-op is told. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return equalJson(target, patch) ? target : frozenCopy(patch);
  const base: JsonObject = isJsonObject(target) ? target : {};
  let result: Record<string, unknown> | undefined;
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined || key === '__proto__') continue;
    if (value === null) {
      if (!Object.hasOwn(base, key)) continue;
      result ??= { ...base };
      delete result[key];
      continue;
    }
    const merged = mergePatch(base[key], value);
    if (merged === base[key]) continue;
    result ??= { ...base };
    result[key] = merged;
  }
  if (result === undefined) return isJsonObject(target) ? target : Object.freeze({});
  return Object.freeze(result);
}

/** A frozen copy with some members replaced; `undefined` takes a member away. */
export function withMembers<T extends object>(object: T, members: Partial<Record<keyof T, unknown>>): T {
  const copy: Record<string, unknown> = { ...(object as JsonObject) };
  for (const [key, value] of Object.entries(members)) {
    if (value === undefined) delete copy[key];
    else copy[key] = value;
  }
  return Object.freeze(copy) as unknown as T;
}
