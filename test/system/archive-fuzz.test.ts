import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { archiveCase, FUZZED_FORMATS } from '../fuzz/archive-cases.ts';
import { hasSecondReader, judge } from '../fuzz/judge.ts';

/** More by `npm run fuzz -- --minutes N`. */
const CASES = 60;
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const FOUND = join(import.meta.dirname, '..', 'fuzz', 'found');

const withSecond = hasSecondReader();
if (!withSecond) process.stdout.write('not compared with a second reader: bsdtar is not installed\n');
const scratch = mkdtempSync(join(tmpdir(), 'warmpool-fuzz-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('made-up archives', () => {
  test.each(FUZZED_FORMATS)(
    `as %s are refused in words, or become what a second reader makes of them (seed ${SEED})`,
    async (format) => {
      for (let index = 0; index < CASES; index++) {
        const finding = await judge(archiveCase(SEED, index, [format]), scratch, withSecond);
        expect(
          finding,
          `case ${index}: npm run fuzz -- --seed ${SEED} --from ${index} --formats '${format}'`,
        ).toBeUndefined();
      }
    },
  );
});

/** Archives that were handled wrongly once, named after their format. */
describe('found archives', () => {
  test.each(readdirSync(FOUND))('%s', async (name) => {
    const format = FUZZED_FORMATS.find((known) => name.endsWith(`.${known.split(' ')[0]}`)) ?? 'tar';
    const bytes = readFileSync(join(FOUND, name));
    for (const chunkBytes of [100, 64 * 1024]) {
      expect(await judge({ format, bytes, chunkBytes, tailBytes: 0 }, scratch, withSecond)).toBeUndefined();
    }
  });
});
