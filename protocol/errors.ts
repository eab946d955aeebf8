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

/** Turns what zod found into field paths and sentences that begin with "is" or "must". */
export function fieldProblems(error: z.ZodError): FieldProblem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ field: [...issue.path, key].join('.'), message: 'is not a known field' }));
    }
    const field = issue.path.join('.') || '(body)';
    // z.record reports a bad key as invalid_key with the key's own issues inside
    if (issue.code === 'invalid_key') {
      return issue.issues.map((inner) => ({ field, message: `this name ${sentence(inner)}` }));
    }
    return [{ field, message: sentence(issue) }];
  });
}

export function describeProblems(problems: FieldProblem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
}

/** A schema that names no message of its own gets zod's, which all begin like this. */
const ZOD_OWN_MESSAGE = /^(Invalid|Too small|Too big|Unrecognized)/;

function sentence(issue: z.core.$ZodIssue): string {
  if (!ZOD_OWN_MESSAGE.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return typeSentence(issue.expected, /received (\w+)$/.exec(issue.message)?.[1]);
    case 'invalid_value':
      return `must be ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map((value) => JSON.stringify(value)).join(', ')}`;
    case 'invalid_format':
      return issue.pattern === undefined ? issue.message : `must match ${issue.pattern}`;
    case 'too_small':
      return sizeSentence(issue.origin, 'at least', issue.minimum);
    case 'too_big':
      return sizeSentence(issue.origin, 'at most', issue.maximum);
    case 'custom':
    case 'invalid_element':
    case 'invalid_key':
    case 'invalid_union':
    case 'not_multiple_of':
    case 'unrecognized_keys':
      return issue.message;
  }
}

const TYPE_NAMES: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

function typeSentence(expected: string, received: string | undefined): string {
  if (received === 'undefined') return 'is required';
  const wanted = `must be ${TYPE_NAMES[expected] ?? expected}`;
  const isPlain = received !== undefined && received !== 'NaN' && expected !== 'int';
  return isPlain ? `${wanted}, not ${received === 'null' ? 'null' : (TYPE_NAMES[received] ?? received)}` : wanted;
}

function sizeSentence(origin: string, bound: 'at least' | 'at most', size: number | bigint): string {
  if (origin === 'string' && bound === 'at least' && Number(size) === 1) return 'must not be empty';
  if (origin === 'string') return `must be ${bound} ${size} characters long`;
  if (origin === 'array') return `must have ${bound} ${size} ${Number(size) === 1 ? 'entry' : 'entries'}`;
  return `must be ${bound} ${size}`;
}
