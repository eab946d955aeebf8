import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { describeUserError, trimStack } from './user-error.mjs';

const agentFile = fileURLToPath(new URL('loader.mjs', import.meta.url));

describe('an error of user code', () => {
  it('keeps its own frames and loses those of the agent and of Node', () => {
    const own = ['Error: no', '    at connect (/code/index.js:1:2)'];
    const foreign = [`    at Loader.load (${agentFile}:1:2)`, '    at node:internal/modules/cjs/loader:1:2'];
    expect(trimStack([...own, ...foreign].join('\n'))).toBe(own.join('\n'));
  });

  it('keeps the place that a syntax error points at, and not that of a rethrow', () => {
    const place = '/code/index.js:1\nfoo(\n   ^\n\nSyntaxError: oh';
    expect(trimStack(place)).toBe(place);
    expect(trimStack(`${agentFile}:7\n  throw error;\n  ^\n\nError: no`)).toBe('Error: no');
  });

  it.each([
    ['a string', 'threw a string'],
    [undefined, 'threw undefined'],
    [{ code: 7 }, 'threw {"code":7}'],
  ])('is told in words also when it is not an Error: %s', (thrown: unknown, message: string) => {
    expect(describeUserError(thrown)).toEqual({ message });
  });

  it('that resists every look at it does no harm', () => {
    const hostile = new Proxy(new Error('x'), {
      get: () => {
        throw new Error('no');
      },
    });
    expect(describeUserError(hostile).message).toContain('cannot be described');
  });
});
