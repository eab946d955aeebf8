import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { describeProblems, fieldProblems } from './errors.ts';

function problemsOf(schema: z.ZodType, value: unknown): string[] {
  const { error } = schema.safeParse(value);
  return error ? fieldProblems(error).map(({ field, message }) => `${field}: ${message}`) : [];
}

describe('fieldProblems', () => {
  it.each([
    ['a missing string', z.object({ a: z.string() }), {}, 'a: is required'],
    ['a missing object', z.object({ a: z.object({}) }), {}, 'a: is required'],
    ['a missing field of a nested object', z.object({ a: z.object({ b: z.int() }) }), { a: {} }, 'a.b: is required'],
    ['no body', z.object({}), undefined, '(body): is required'],
    ['null for a body', z.object({}), null, '(body): must be an object, not null'],
    ['a list for a body', z.object({}), [], '(body): must be an object, not a list'],
    ['a number for a string', z.object({ a: z.string() }), { a: 5 }, 'a: must be a string, not a number'],
    ['a string for a number', z.object({ a: z.int() }), { a: '5' }, 'a: must be a number, not a string'],
    ['a fraction', z.object({ a: z.int() }), { a: 1.5 }, 'a: must be a whole number'],
    ['a query that is no number', z.object({ a: z.coerce.number() }), { a: 'x' }, 'a: must be a number'],
    ['a number below its bound', z.object({ a: z.int().min(1) }), { a: 0 }, 'a: must be at least 1'],
    ['a number above its bound', z.object({ a: z.int().max(9) }), { a: 10 }, 'a: must be at most 9'],
    ['an empty string', z.object({ a: z.string().min(1) }), { a: '' }, 'a: must not be empty'],
    ['a string too long', z.object({ a: z.string().max(2) }), { a: 'abc' }, 'a: must be at most 2 characters long'],
    ['an empty list', z.object({ a: z.array(z.int()).min(1) }), { a: [] }, 'a: must have at least 1 entry'],
    ['a wrong word', z.object({ a: z.enum(['x', 'y']) }), { a: 'z' }, 'a: must be one of "x", "y"'],
    ['a wrong constant', z.object({ a: z.literal('v1') }), { a: 'v2' }, 'a: must be "v1"'],
    ['a pattern without words', z.object({ a: z.string().regex(/^x$/) }), { a: 'y' }, 'a: must match /^x$/'],
    ['a pattern with words', z.object({ a: z.string().regex(/^x$/, 'must be x') }), { a: 'y' }, 'a: must be x'],
    ['an unknown field', z.strictObject({ a: z.strictObject({}) }), { a: { b: 1 } }, 'a.b: is not a known field'],
    [
      'a wrong entry of a list',
      z.object({ a: z.array(z.string()) }),
      { a: ['x', 1] },
      'a.1: must be a string, not a number',
    ],
    [
      'a wrong name in a map',
      z.object({ env: z.record(z.string().regex(/^[A-Z]+$/, 'must be capitals'), z.string()) }),
      { env: { a: '1' } },
      'env.a: this name must be capitals',
    ],
  ])('words %s for the person who sent it', (_, schema, value, expected) => {
    expect(problemsOf(schema, value)).toEqual([expected]);
  });

  it('names every wrong field, not only the first', () => {
    const schema = z.strictObject({ a: z.string(), b: z.int() });
    expect(problemsOf(schema, { b: 'x', c: 1, d: 2 })).toEqual([
      'a: is required',
      'b: must be a number, not a string',
      'c: is not a known field',
      'd: is not a known field',
    ]);
  });

  it('never repeats a value, which may be a secret', () => {
    const schema = z.object({ env: z.record(z.string(), z.string().max(4)) });
    expect(problemsOf(schema, { env: { TOKEN: 'hunter2-canary' } }).join()).not.toContain('canary');
  });

  it('joins problems into one sentence', () => {
    const problems = [
      { field: 'a', message: 'is required' },
      { field: 'b.c', message: 'must be at most 9' },
    ];
    expect(describeProblems(problems)).toBe('a: is required; b.c: must be at most 9');
  });
});
