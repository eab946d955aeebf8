import { isDeepStrictEqual } from 'node:util';

/** A rule that the runtime broke: what was looked at, what it should have been, what it was. */
export class BrokenRule extends Error {
  readonly looksAt: string;
  readonly expected: string;
  readonly came: string;

  constructor(looksAt: string, expected: string, came: string) {
    super(`${looksAt}: expected ${expected}, but came ${came}`);
    this.looksAt = looksAt;
    this.expected = expected;
    this.came = came;
  }
}

/** A condition with a name that reads well in a report. */
export interface Condition {
  words: string;
  holds: (value: unknown) => boolean;
}

const isCondition = (value: unknown): value is Condition =>
  typeof value === 'object' && value !== null && 'holds' in value && 'words' in value;

export const atLeast = (bound: number): Condition => ({
  words: `at least ${bound}`,
  holds: (value) => typeof value === 'number' && value >= bound,
});
export const atMost = (bound: number): Condition => ({
  words: `at most ${bound}`,
  holds: (value) => typeof value === 'number' && value <= bound,
});
/** Nothing more, nothing less; elsewhere an object may have other fields too. */
export const exactly = (wanted: unknown): Condition => ({
  words: `exactly ${inWords(wanted)}`,
  holds: (value) => isDeepStrictEqual(value, wanted),
});
export const oneOf = (...choices: unknown[]): Condition => ({
  words: `one of ${choices.map((choice) => inWords(choice)).join(', ')}`,
  holds: (value) => choices.some((choice) => isLike(value, choice)),
});
export const not = (wanted: unknown): Condition => ({
  words: `not ${inWords(wanted)}`,
  holds: (value) => !isLike(value, wanted),
});
export const containing = (...parts: string[]): Condition => ({
  words: `text with ${parts.map((part) => JSON.stringify(part)).join(' and ')}`,
  holds: (value) => typeof value === 'string' && parts.every((part) => value.includes(part)),
});
/** A list in which something is like each of these. */
export const including = (...wanted: unknown[]): Condition => ({
  words: `a list with ${wanted.map((each) => inWords(each)).join(' and ')}`,
  holds: (value) => Array.isArray(value) && wanted.every((each) => value.some((item) => isLike(item, each))),
});

/**
 * `came` is like `expected`: equal values, patterns that match, conditions that hold; of an object the named fields, of a list every
 * item.
 */
export function expectLike(looksAt: string, came: unknown, expected: unknown): void {
  if (isLike(came, expected)) return;
  throw new BrokenRule(looksAt, inWords(expected), inWords(onlyNamed(came, expected)));
}

function isLike(came: unknown, expected: unknown): boolean {
  if (expected instanceof RegExp) return typeof came === 'string' && expected.test(came);
  if (isCondition(expected)) return expected.holds(came);
  if (Array.isArray(expected)) {
    return (
      Array.isArray(came) &&
      came.length === expected.length &&
      expected.every((each, index) => isLike(came[index], each))
    );
  }
  if (typeof expected !== 'object' || expected === null) return Object.is(came, expected);
  if (typeof came !== 'object' || came === null) return false;
  return Object.entries(expected).every(([name, each]) => isLike((came as Record<string, unknown>)[name], each));
}

/** Leaves away what nobody asked about. */
function onlyNamed(came: unknown, expected: unknown): unknown {
  const isPlain = typeof expected === 'object' && expected !== null && !(expected instanceof RegExp);
  if (!isPlain || isCondition(expected) || Array.isArray(expected)) return came;
  if (typeof came !== 'object' || came === null || Array.isArray(came)) return came;
  return Object.fromEntries(
    Object.entries(expected).map(([name, each]) => [name, onlyNamed((came as Record<string, unknown>)[name], each)]),
  );
}

const LONGEST = 600;

export function inWords(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value instanceof RegExp) return `text like ${value}`;
  if (isCondition(value)) return value.words;
  const text = JSON.stringify(value, (_, each: unknown) => {
    if (each instanceof RegExp) return `‹text like ${each}›`;
    if (isCondition(each)) return `‹${each.words}›`;
    return each;
  });
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
}
