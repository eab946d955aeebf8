import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { ALL_CASES } from './all-cases.ts';
import { CONTRACT_PAGE, ruleLine } from './report.ts';

const page = readFileSync(path.join(import.meta.dirname, '..', CONTRACT_PAGE), 'utf8');

it('every rule of the contract page is a case of the kit, in the same words, and the other way round', () => {
  const rules = page.split('\n').filter((line) => line.startsWith('- <a id='));
  expect(rules.toSorted()).toEqual(ALL_CASES.map(ruleLine).toSorted());
});

it('no rule has two cases', () => {
  expect(new Set(ALL_CASES.map(({ rule }) => rule)).size).toBe(ALL_CASES.length);
});
