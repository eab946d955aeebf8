import { z } from 'zod';

/** One field of a request that is wrong, by its path (`code.digest`) and in words. */
export const fieldProblemSchema = z.object({ field: z.string(), message: z.string() });
export type FieldProblem = z.output<typeof fieldProblemSchema>;

/** The body of every error answer of every program. `code` is stable; `message` is for people and names the thing. */
export const errorBodySchema = z.object({
  statusCode: z.int(),
  code: z.string(),
  error: z.string(),
  message: z.string(),
  /** Where the user's code failed: `import`, `handler`, `listen`, `invoke`. */
  phase: z.string().optional(),
  stack: z.string().optional(),
  details: z.array(fieldProblemSchema).optional(),
  retryAfterSeconds: z.number().optional(),
});
export type ErrorBody = z.output<typeof errorBodySchema>;

/** Turns what zod found into field paths and sentences. A missing field says so instead of naming a type. */
export function fieldProblems(error: z.ZodError): FieldProblem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ field: [...issue.path, key].join('.'), message: 'is not a known field' }));
    }
    // z.record reports a bad key as invalid_key with the key's own issues inside
    if (issue.code === 'invalid_key') {
      return issue.issues.map((inner) => ({ field: issue.path.join('.'), message: `this name ${inner.message}` }));
    }
    const missing = issue.code === 'invalid_type' && issue.message.endsWith('received undefined');
    return [{ field: issue.path.join('.') || '(body)', message: missing ? 'is required' : issue.message }];
  });
}

export function describeProblems(problems: FieldProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
}
