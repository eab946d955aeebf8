import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PreparerWorld } from '../testing/preparer-world.ts';
import { stateOf } from '../testing/process-state.ts';
import type { Preparer } from './preparer.ts';

const WAIT = { timeout: 30_000, interval: 20 };
let world: PreparerWorld;

beforeEach(() => {
  world = new PreparerWorld();
});
afterEach(() => world.close());

/** With programs that are these scripts; each finds the tree as its argument. */
function open(...scripts: string[]): Preparer {
  return world.open(scripts.map((script) => ({ command: [process.execPath, '-e', script, '{tree}'] })));
}

const untilPrepared = (...files: string[]): Promise<void> =>
  vi.waitFor(() => expect([Object.keys(world.prepared).sort(), world.isIdle]).toEqual([files, true]), WAIT);

describe('preparing an entry', () => {
  test('puts what the program wrote beside the tree, read-only, and counts it to the entry', async () => {
    open('process.stdout.write("interpreter-1/pack\\nsome bytes")').add('key');
    await untilPrepared('interpreter-1/pack');
    expect(world.prepared).toEqual({ 'interpreter-1/pack': 'some bytes' });
    expect(world.bytes).toBe('some bytes'.length);
  });

  test('gives the program the tree and no environment', async () => {
    open('process.stdout.write("said/said\\n" + JSON.stringify([process.argv[1], process.env, process.cwd()]))').add(
      'key',
    );
    await untilPrepared('said/said');
    expect(JSON.parse(world.prepared['said/said'] ?? '')).toEqual([world.tree, {}, '/']);
  });

  test('keeps the forms of several interpreters side by side, and goes on after a program that finds nothing', async () => {
    open('process.stdout.write("a/pack\\n1")', '', 'process.stdout.write("b/pack\\n2")').add('key');
    await untilPrepared('a/pack', 'b/pack');
    expect(world.problems).toEqual([]);
  });

  test('goes on after a program that fails', async () => {
    open('process.exit(1)', 'process.stdout.write("b/pack\\n2")').add('key');
    await untilPrepared('b/pack');
    expect(world.problems).toEqual([expect.objectContaining({ message: expect.stringContaining('code 1') as string })]);
  });

  test.each([
    ['fails', 'process.stdout.write("a/pack\\nhalf"); process.exit(3)', 'code 3'],
    ['is killed', 'process.stdout.write("a/pack\\nhalf", () => process.kill(process.pid, "SIGKILL"))', 'SIGKILL'],
    ['names no place', 'process.stdout.write("something else")', 'did not say where'],
    ['names a place elsewhere', 'process.stdout.write("../tree/pack\\nx")', 'did not say where'],
    ['names a place further up', 'process.stdout.write("../../pack\\nx")', 'did not say where'],
  ])('leaves nothing behind when the program %s', async (_name, script, words) => {
    open(script).add('key');
    await vi.waitFor(() => expect([world.problems.length, world.isIdle]).toEqual([1, true]), WAIT);
    expect(String(world.problems[0])).toContain(words);
    expect([world.prepared, world.bytes, readdirSync(world.folder)]).toEqual([{}, 0, ['entry']]);
  });

  test('is left out where the cache has no room for it', async () => {
    world.limitBytes = 3;
    open('process.stdout.write("a/pack\\nfour")', 'process.stdout.write("b/pack\\n4")').add('key');
    await untilPrepared('b/pack');
    expect(world.bytes).toBe(1);
  });

  test('begins when no load is under way', async () => {
    const preparer = open('process.stdout.write("a/pack\\n1")');
    preparer.setLoadsInFlight(1);
    preparer.add('key');
    await new Promise((resolve) => void setTimeout(resolve, 100));
    expect(world.isIdle).toBe(true);
    preparer.setLoadsInFlight(0);
    await untilPrepared('a/pack');
  });

  test('stands still while a load is under way', async () => {
    const running = join(world.folder, 'running');
    const preparer = open(
      `require("fs").writeFileSync(${JSON.stringify(running)}, String(process.pid)); setTimeout(() => process.stdout.write("a/pack\\n1"), 50)`,
    );
    preparer.add('key');
    await vi.waitFor(() => expect(existsSync(running) && readFileSync(running, 'utf8')).toMatch(/^\d+$/), WAIT);
    preparer.setLoadsInFlight(1);
    await vi.waitFor(() => expect(['T', 'gone']).toContain(stateOf(readFileSync(running, 'utf8'))), WAIT);
    preparer.setLoadsInFlight(0);
    await untilPrepared('a/pack');
  });
});
