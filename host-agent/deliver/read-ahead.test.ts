import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { imagePathOf } from '../unpack/image-path.ts';
import { ReadAhead } from './read-ahead.ts';

let entry: string;
let asked: string[];
let isHelperGone: boolean;
const ask = (what: string) => (): Promise<void> => {
  asked.push(what);
  return isHelperGone ? Promise.reject(new Error('the mount helper is gone')) : Promise.resolve();
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  asked = [];
  isHelperGone = false;
  entry = join(mkdtempSync(join(tmpdir(), 'warmpool-ahead-')), 'key.tar');
  mkdirSync(entry);
  writeFileSync(imagePathOf(entry), '');
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(join(entry, '..'), { recursive: true });
});

const readAhead = (): ReadAhead =>
  new ReadAhead(
    { forget: ask('forget'), listReads: ask('list'), readAhead: ask('ahead') },
    { monotonic: () => performance.now() },
  );

describe('reading ahead', () => {
  test('lists what the first load after the preparation has read, once', async () => {
    const ahead = readAhead();
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual([]);
    await ahead.begin(entry);
    for (let load = 0; load < 3; load++) ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(1_999);
    expect(asked).toEqual(['forget']);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual(['forget', 'list']);
  });

  test('reads for a load when the last one is a while ago', async () => {
    const ahead = readAhead();
    await ahead.begin(entry);
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(59_000);
    asked = [];
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(59_000);
    ahead.onDelivered(entry);
    expect(asked).toEqual([]);
    await vi.advanceTimersByTimeAsync(61_000);
    ahead.onDelivered(entry);
    ahead.onDelivered(entry);
    expect(asked).toEqual(['ahead']);
  });

  test('lists with another load when the helper was gone', async () => {
    const ahead = readAhead();
    await ahead.begin(entry);
    isHelperGone = true;
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(2_000);
    isHelperGone = false;
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toEqual(['forget', 'list', 'list']);
  });

  test('lists anew what was fetched anew', async () => {
    const ahead = readAhead();
    await ahead.begin(entry);
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(2_000);
    await ahead.begin(entry);
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(asked).toEqual(['forget', 'list', 'forget', 'list']);
  });

  test('has nothing to do with a tree that is a folder', async () => {
    rmSync(imagePathOf(entry));
    const ahead = readAhead();
    await ahead.begin(entry);
    ahead.onDelivered(entry);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual([]);
  });
});
