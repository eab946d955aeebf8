import { badRequest } from './api-errors.ts';

type Labels = Readonly<Record<string, string>>;
export type LabelMatcher = (labels: Labels | undefined) => boolean;

const KEY = String.raw`(?:[A-Za-z0-9.-]+\/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?`;
const VALUE = String.raw`[A-Za-z0-9_.-]*`;
const EQUALS = new RegExp(String.raw`^(${KEY})\s*(==|=|!=)\s*(${VALUE})$`);
const SET = new RegExp(String.raw`^(${KEY})\s+(in|notin)\s*\(([^()]*)\)$`);
const EXISTS = new RegExp(String.raw`^(!?)\s*(${KEY})$`);
const NONE: Labels = Object.freeze({});

/** `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas. */
export function parseLabelSelector(selector: string | undefined): LabelMatcher {
  if (selector === undefined || selector.trim() === '') return () => true;
  // A comma inside brackets separates values, not requirements.
  const requirements = selector.split(/,(?![^(]*\))/).map((text) => parseRequirement(text.trim(), selector));
  return (labels) => requirements.every((matches) => matches(labels ?? NONE));
}

function parseRequirement(text: string, selector: string): (labels: Labels) => boolean {
  const equals = EQUALS.exec(text);
  if (equals) {
    const [, key = '', operator, value = ''] = equals;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const set = SET.exec(text);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = new Set(list.split(',').map((value) => value.trim()));
    const isIn = (labels: Labels): boolean => labels[key] !== undefined && values.has(labels[key]);
    return operator === 'in' ? isIn : (labels) => !isIn(labels);
  }
  const exists = EXISTS.exec(text);
  if (exists) {
    const [, not, key = ''] = exists;
    return not === '!' ? (labels) => labels[key] === undefined : (labels) => labels[key] !== undefined;
  }
  throw badRequest(`unable to parse requirement "${text}" in label selector "${selector}"`);
}
