import { describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';

describe('the settings of a benchmark', () => {
  it('have defaults for all but its name', () => {
    expect(readConfig(['claim'], {})).toMatchObject({
      ...{ target: 'local', claims: 200, function: 'node-hello', replicas: 20, burst: 20, json: false },
    });
  });

  it.each([
    [[], /unknown benchmark ""; there is: ahead, claim, delivery, load, mount, prepared/],
    [['clam'], /unknown benchmark "clam"; there is: ahead, claim, delivery, load, mount, prepared/],
    [['claim', '--target', 'moon'], /^--target: must be local or cluster/],
    [
      ['claim', '--target', 'cluster', '--function', 'express-app'],
      /^--function: the cluster target claims node-hello/,
    ],
    [['claim', '--claims', '0'], /^--claims: /],
    [['claim', '--claims', 'many'], /^--claims: /],
    [['claim', '--burst', '501'], /^--burst: /],
    [['claim', '--fast'], /--fast/],
  ])('are refused with the name of what is wrong: %j', (argv, words) => {
    expect(() => readConfig(argv, {})).toThrow(words);
  });
});
