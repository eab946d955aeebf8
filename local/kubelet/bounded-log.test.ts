import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BoundedLog } from './bounded-log.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bounded-log-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function writeAll(
  chunks: string[],
  limitBytes: number,
  file = path.join(folder, 'stdout.log'),
): Promise<unknown[]> {
  const stream = new PassThrough();
  const errors: unknown[] = [];
  new BoundedLog(file, limitBytes).drain(stream, (error) => errors.push(error));
  for (const chunk of chunks) {
    stream.write(chunk);
    await new Promise(setImmediate);
  }
  stream.end();
  await once(stream, 'close');
  return errors;
}

describe('the log file of a pod', () => {
  it('holds what was written', async () => {
    await writeAll(['one\n', 'two\n'], 100);
    expect(await readFile(path.join(folder, 'stdout.log'), 'utf8')).toBe('one\ntwo\n');
  });

  it('is not there when nothing was written', async () => {
    await writeAll([], 100);
    expect(await readdir(folder)).toEqual([]);
  });

  it('keeps the newest output and never takes more than two limits of space', async () => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${String(index).padStart(3, '0')}\n`);
    await writeAll(lines, 90);
    const names = (await readdir(folder)).sort();
    expect(names).toEqual(['stdout.log', 'stdout.log.1']);
    for (const name of names) expect((await stat(path.join(folder, name))).size).toBeLessThanOrEqual(90);
    expect(await readFile(path.join(folder, 'stdout.log'), 'utf8')).toMatch(/line 099\n$/);
  });

  it('that cannot be written is reported once, and the output flows on into nothing', async () => {
    const errors = await writeAll(['a', 'b', 'c'], 100, path.join(folder, 'missing', 'stdout.log'));
    expect(errors).toHaveLength(1);
  });
});
