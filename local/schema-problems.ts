import { fieldProblems } from '@warmpool/protocol/errors.ts';
import { z } from 'zod';
import { fieldName } from './yaml-source.ts';
import type { FieldPath, SourceDocument, SourceProblem } from './yaml-source.ts';

/** Everything in `document` that `schema` refuses, and every field that it does not know, each where it was written. */
export function schemaProblems(file: string, document: SourceDocument, schema: z.ZodType): SourceProblem[] {
  const problems = unknownFields(schema, document.value).map(({ path, hint }): SourceProblem => ({
    file,
    ...document.positionOfKey(path),
    field: fieldName(path),
    message: `is not a known field${hint === undefined ? '' : `; did you mean "${hint}"?`}`,
  }));
  const result = schema.safeParse(document.value);
  if (result.success) return problems;
  for (const issue of result.error.issues) {
    if (issue.code === 'unrecognized_keys') continue;
    const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
    const [problem] = fieldProblems(new z.ZodError([issue]));
    problems.push({
      file,
      ...document.positionOf(path),
      field: fieldName(path),
      message: (problem?.message ?? issue.message) + quotingHint(issue, valueAt(document.value, path)),
    });
  }
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** `version: 24` is a number in YAML: the commonest mistake in these files deserves the cure. */
function quotingHint(issue: z.core.$ZodIssue, value: unknown): string {
  const isUnquoted = typeof value === 'number' || typeof value === 'boolean';
  return issue.code === 'invalid_type' && issue.expected === 'string' && isUnquoted
    ? `; put it in quotes: '${value}'`
    : '';
}

function valueAt(value: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>(
    (inner, part) =>
      typeof inner === 'object' && inner !== null ? (inner as Record<string | number, unknown>)[part] : undefined,
    value,
  );
}

interface UnknownField {
  path: FieldPath;
  hint: string | undefined;
}

function unknownFields(schema: unknown, value: unknown, path: FieldPath = []): UnknownField[] {
  const { inner, passesUnknown } = unwrapped(schema);
  if (inner instanceof z.ZodArray && Array.isArray(value)) {
    return value.flatMap((item, index) => unknownFields(inner.element, item, [...path, index]));
  }
  if (!(inner instanceof z.ZodObject) || typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  const known = inner.shape as Record<string, unknown>;
  const isOpen = passesUnknown || inner.def.catchall instanceof z.ZodUnknown;
  return Object.entries(value).flatMap(([key, field]) => {
    if (Object.hasOwn(known, key)) return unknownFields(known[key], field, [...path, key]);
    return isOpen ? [] : [{ path: [...path, key], hint: nearestName(key, Object.keys(known)) }];
  });
}

/** The schema below defaults and optionals, and whether any layer says that unknown fields pass through. */
function unwrapped(schema: unknown): { inner: unknown; passesUnknown: boolean } {
  let inner = schema;
  let passesUnknown = false;
  for (;;) {
    if (inner instanceof z.ZodType && inner.meta()?.['x-kubernetes-preserve-unknown-fields'] === true) {
      passesUnknown = true;
    }
    if (inner instanceof z.ZodOptional || inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault) {
      inner = inner.unwrap();
    } else {
      return { inner, passesUnknown };
    }
  }
}

/** The known name that takes the fewest edits, if it is close enough to be what was meant. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(name.length / 3));
  const ranked = known
    .map((candidate) => ({ candidate, edits: editDistance(name.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ edits }) => edits <= limit)
    .sort((a, b) => a.edits - b.edits);
  return ranked[0]?.candidate;
}

function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of from.split('').entries()) {
    const next = [i + 1];
    for (const [j, other] of to.split('').entries()) {
      const substituted = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(substituted, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
