import { describe, expect, it } from 'vitest';
import { readLoadConfig } from './config.ts';

describe('the settings of the load benchmark', () => {
  it('measure everything unless told otherwise', () => {
    expect(readLoadConfig([], {})).toMatchObject({
      ...{ loads: 60, runtime: ['nodejs', 'python', 'java'], cpu: ['full', '1000m', '300m', '100m'], json: false },
      mode: expect.arrayContaining(['standby', 'standby+preimport']) as string[],
    });
  });

  it('take several names of one kind', () => {
    expect(readLoadConfig(['--runtime', 'java,python', '--cpu', '100m'], {})).toMatchObject({
      ...{ runtime: ['java', 'python'], cpu: ['100m'] },
    });
  });

  it.each([
    [['--runtime', 'cobol'], /^--runtime: must be of nodejs, python, java/],
    [['--example', 'trivial,none'], /^--example: must be of trivial, /],
    [['--cpu', '5m'], /^--cpu: must be of full, 1000m, 300m, 100m/],
    [['--mode', 'fast'], /^--mode: must be of standby, /],
    [['--loads', '0'], /^--loads: /],
  ])('are refused with the name of what is wrong: %j', (argv, words) => {
    expect(() => readLoadConfig(argv, {})).toThrow(words);
  });
});
