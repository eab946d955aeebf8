import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Preparer } from './preparer.ts';

const WAIT = { timeout: 30_000, interval: 20 };
let folder: string;
let entryPath: string;
let problems: unknown[];
let held: Set<string>;
let bytes: number;
let limitBytes: number;
let preparer: Preparer;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpool-preparer-'));
  entryPath = join(folder, 'entry');
  mkdirSync(join(entryPath, 'tree'), { recursive: true });
  [problems, held, bytes, limitBytes] = [[], new Set(), 0, 1_000_000];
});
afterEach(() => {
  preparer.close();
  rmSync(folder, { recursive: true, force: true });
});

/** One whose program is this script; it finds the tree as its argument. */
function open(...scripts: string[]): Preparer {
  let next = 0;
  preparer = new Preparer(
    {
      cache: {
        hold: (_key, holder) => {
          held.add(holder);
          return entryPath;
        },
        release: (holder) => void held.delete(holder),
        grow: (_key, more) => {
          if (bytes + more > limitBytes) return false;
          bytes += more;
          return true;
        },
      },
      newTmpPath: () => join(folder, `tmp-${next++}`),
      onProblem: (error) => problems.push(error),
    },
    { commands: scripts.map((script) => [process.execPath, '-e', script, '{tree}'] as const), idleMs: 1 },
  );
  return preparer;
}

const prepared = (): string => join(entryPath, 'prepared');

describe('preparing an entry', () => {
  test('puts what the program wrote beside the tree, read-only, and counts it to the entry', async () => {
    open('process.stdout.write("interpreter-1/pack\\nsome bytes")').add('key');
    await vi.waitFor(
      () => expect([existsSync(join(prepared(), 'interpreter-1/pack')), held.size]).toEqual([true, 0]),
      WAIT,
    );
    expect(readFileSync(join(prepared(), 'interpreter-1/pack'), 'utf8')).toBe('some bytes');
    expect(bytes).toBe('some bytes'.length);
  });

  test('gives the program the tree and no environment', async () => {
    open('process.stdout.write("said/said\\n" + JSON.stringify([process.argv[1], process.env, process.cwd()]))').add(
      'key',
    );
    await vi.waitFor(() => expect(existsSync(join(prepared(), 'said/said'))).toBe(true), WAIT);
    expect(JSON.parse(readFileSync(join(prepared(), 'said/said'), 'utf8'))).toEqual([join(entryPath, 'tree'), {}, '/']);
  });

  test('keeps the forms of several interpreters side by side, and goes on after a program that finds nothing', async () => {
    open('process.stdout.write("a/pack\\n1")', '', 'process.stdout.write("b/pack\\n2")').add('key');
    await vi.waitFor(() => expect([existsSync(join(prepared(), 'b/pack')), held.size]).toEqual([true, 0]), WAIT);
    expect(readdirSync(prepared()).sort()).toEqual(['a', 'b']);
    expect(problems).toEqual([]);
  });

  test.each([
    ['fails', 'process.stdout.write("a/pack\\nhalf"); process.exit(3)', 'code 3'],
    ['is killed', 'process.stdout.write("a/pack\\nhalf", () => process.kill(process.pid, "SIGKILL"))', 'SIGKILL'],
    ['names no place', 'process.stdout.write("something else")', 'did not say where'],
    ['names a place elsewhere', 'process.stdout.write("../tree/pack\\nx")', 'did not say where'],
    ['names a place further up', 'process.stdout.write("../../pack\\nx")', 'did not say where'],
  ])('leaves nothing behind when the program %s', async (_name, script, words) => {
    open(script).add('key');
    await vi.waitFor(() => expect([problems.length, held.size]).toEqual([1, 0]), WAIT);
    expect(String(problems[0])).toContain(words);
    expect([existsSync(prepared()), bytes, readdirSync(folder)]).toEqual([false, 0, ['entry']]);
  });

  test('is left out where the cache has no room for it', async () => {
    limitBytes = 3;
    open('process.stdout.write("a/pack\\nfour")', 'process.stdout.write("b/pack\\n4")').add('key');
    await vi.waitFor(() => expect([existsSync(join(prepared(), 'b/pack')), held.size]).toEqual([true, 0]), WAIT);
    expect([readdirSync(prepared()), bytes]).toEqual([['b'], 1]);
  });

  test('begins when no load is under way', async () => {
    const preparer = open('process.stdout.write("a/pack\\n1")');
    preparer.setLoadsInFlight(1);
    preparer.add('key');
    await new Promise((resolve) => void setTimeout(resolve, 100));
    expect(held.size).toBe(0);
    preparer.setLoadsInFlight(0);
    await vi.waitFor(() => expect(existsSync(join(prepared(), 'a/pack'))).toBe(true), WAIT);
  });

  test('stands still while a load is under way', async () => {
    const running = join(folder, 'running');
    const preparer = open(
      `require("fs").writeFileSync(${JSON.stringify(running)}, String(process.pid)); setTimeout(() => process.stdout.write("a/pack\\n1"), 50)`,
    );
    preparer.add('key');
    await vi.waitFor(() => expect(existsSync(running) && readFileSync(running, 'utf8')).toMatch(/^\d+$/), WAIT);
    preparer.setLoadsInFlight(1);
    const stateOf = (): string | undefined => {
      try {
        return readFileSync(`/proc/${readFileSync(running, 'utf8')}/stat`, 'utf8').split(') ')[1]?.[0];
      } catch {
        return 'gone';
      }
    };
    await vi.waitFor(() => expect(['T', 'gone']).toContain(stateOf()), WAIT);
    preparer.setLoadsInFlight(0);
    await vi.waitFor(() => expect([existsSync(join(prepared(), 'a/pack')), held.size]).toEqual([true, 0]), WAIT);
  });
});
