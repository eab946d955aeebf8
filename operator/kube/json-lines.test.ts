import { describe, expect, test } from 'vitest';
import * as fc from 'fast-check';
import { jsonLines } from './json-lines.ts';

async function read(chunks: Uint8Array[]): Promise<unknown[]> {
  const values: unknown[] = [];
  for await (const value of jsonLines(
    (async function* () {
      yield* chunks;
    })(),
  )) {
    values.push(value);
  }
  return values;
}

describe('a stream of JSON lines', () => {
  test('gives the same values however its bytes are cut', async () => {
    const values = fc.array(fc.record({ text: fc.string({ unit: 'binary' }), number: fc.integer() }), { maxLength: 8 });
    const cuts = fc.array(fc.nat(), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(values, cuts, async (values, cuts) => {
        const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
        const positions = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
        const chunks = positions.slice(1).map((end, index) => bytes.subarray(positions[index], end));
        expect(await read(chunks)).toEqual(values);
      }),
    );
  });

  test('fails when it ends inside a line', async () => {
    await expect(read([Buffer.from('{"a":1}\n{"b"')])).rejects.toThrow('ended inside a line');
  });

  test('fails on a line that no apiserver would send, instead of holding all of it', async () => {
    const megabyte = Buffer.alloc(1024 * 1024, 'x');
    await expect(read(Array.from({ length: 20 }, () => megabyte))).rejects.toThrow('longer than');
  });
});
