import { describe, expect, it } from 'vitest';
import { namesVariable } from './environment-reads.mjs';
import { placeOf, placesBefore } from './places.mjs';

describe('places of packages', () => {
  it.each([
    ['node_modules/a/lib/x.js', 'node_modules/a'],
    ['node_modules/@s/a/index.js', 'node_modules/@s/a'],
    ['node_modules/a/node_modules/b/x.js', 'node_modules/a/node_modules/b'],
    ['index.js', undefined],
  ])('%s is in %s', (file, place) => expect(placeOf(file)).toBe(place));

  it('are looked at from the inside to the outside, until one is found', () => {
    const plain = (found?: string) =>
      placesBefore('node_modules/a/lib/x.js', '@s/b/sub', found).filter((place) => !/\.(js|json|node)$/.test(place));
    const nearer = ['node_modules/a/lib/node_modules/@s/b', 'node_modules/a/node_modules/@s/b'];
    expect(plain('node_modules/@s/b')).toEqual(nearer);
    expect(plain()).toEqual([...nearer, 'node_modules/@s/b']);
    expect(placesBefore('node_modules/a/x.js', './b')).toEqual([]);
  });
});

describe('a text that goes through the names of the environment', () => {
  it.each([
    ['/^debug_/i.test(name)', 'DEBUG_COLORS', true],
    ['/^debug_/i.test(name)', 'LOG_LEVEL', false],
    ['name === "PORT"', 'PORT', true],
    ['exports.support = portable', 'PORT', false],
  ])('%s looks for %s: %s', (text, name, isNamed) => expect(namesVariable(text, name)).toBe(isNamed));
});
