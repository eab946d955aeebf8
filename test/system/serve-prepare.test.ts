import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Preparer } from '@warmpool/host-agent/prepare/preparer.ts';
import { PreparerWorld } from '@warmpool/host-agent/testing/preparer-world.ts';
import { stateOf } from '@warmpool/host-agent/testing/process-state.ts';
import { BOOTSTRAP_FOLDER } from '@warmpool/runtime-agent/runtimes.ts';
import { isPythonHere } from '../support/local-world.ts';

const WAIT = { timeout: 30_000, interval: 10 };
const hasPython = await isPythonHere();

describe.skipIf(!hasPython)('the preparer of Python that serves a socket', () => {
  let world: PreparerWorld;
  let socketPath: string;
  let server: ChildProcess | undefined;

  beforeEach(() => {
    world = new PreparerWorld();
    socketPath = join(world.folder, 'python.sock');
  });
  afterEach(() => {
    server?.kill('SIGKILL');
    server = undefined;
    world.close();
  });

  const serve = (): ChildProcess => {
    const program = join(BOOTSTRAP_FOLDER, 'python/serve_prepare.py');
    server = spawn('python3', ['-B', program, socketPath], { stdio: ['ignore', 'inherit', 'inherit'] });
    return server;
  };
  const serving = async (): Promise<ChildProcess> => {
    const process = serve();
    await vi.waitFor(() => expect(existsSync(socketPath)).toBe(true), WAIT);
    return process;
  };
  const write = (files: Record<string, string>): void => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(world.tree, name)), { recursive: true });
      writeFileSync(join(world.tree, name), text);
    }
  };
  /** Takes the compiler a while. */
  const writeMuch = (): void => {
    const module = Array.from({ length: 4000 }, (_, at) => `def f${at}(a, b):\n    return a * ${at} + b\n`).join('');
    write(Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`m${at}.py`, module])));
  };
  const runOf = ({ pid }: ChildProcess): string => {
    const found = execFileSync('pgrep', ['-P', String(pid), '-f', 'prepare.py'], { encoding: 'utf8' });
    return found.trim();
  };
  const open = () => world.open([{ socketPath }]);
  /** A run that takes a while, and is under way. */
  const aRun = async (): Promise<{ server: ChildProcess; preparer: Preparer; pid: string }> => {
    writeMuch();
    const server = await serving();
    const preparer = open();
    preparer.add('key');
    // pgrep fails as long as there is none
    return { server, preparer, pid: await vi.waitFor(() => runOf(server), WAIT) };
  };
  const PACK = expect.stringMatching(/^python-.*\/modules\.pack$/) as string;

  test('makes what the program alone makes, one tree after the other', async () => {
    write({
      'main.py': 'import part\n',
      'lib/part.py': 'name = "part"\n',
      'lib/broken.py': 'def (\n',
      'note.txt': 'x',
    });
    await serving();
    const preparer = open();
    preparer.add('one');
    await vi.waitFor(() => expect([Object.keys(world.prepared), world.isIdle]).toEqual([[PACK], true]), WAIT);
    const program = join(BOOTSTRAP_FOLDER, 'python/prepare.py');
    const alone = execFileSync('python3', ['-I', '-S', '-B', program, world.tree], { encoding: 'latin1' });
    const [[file, content] = []] = Object.entries(world.prepared);
    expect(`${file}\n${content}`).toBe(alone);
    rmSync(join(world.entryPath, 'prepared'), { recursive: true });
    preparer.add('two');
    await vi.waitFor(() => expect([world.bytes, world.isIdle]).toEqual([2 * (content?.length ?? 0), true]), WAIT);
    expect(world.problems).toEqual([]);
  });

  test('makes nothing of a tree without modules', async () => {
    write({ 'note.txt': 'x' });
    await serving();
    open().add('key');
    await vi.waitFor(() => expect(world.holders.size).toBe(1), WAIT);
    await vi.waitFor(() => expect(world.isIdle).toBe(true), WAIT);
    expect([world.prepared, world.problems]).toEqual([{}, []]);
  });

  test('is waited for while its container starts', async () => {
    write({ 'main.py': 'x = 1\n' });
    open().add('key');
    await vi.waitFor(() => expect(world.holders.size).toBe(1), WAIT);
    serve();
    await vi.waitFor(() => expect([Object.keys(world.prepared), world.isIdle]).toEqual([[PACK], true]), WAIT);
    expect(world.problems).toEqual([]);
  });

  test('stands still while a load is under way', async () => {
    const { preparer, pid } = await aRun();
    preparer.setLoadsInFlight(1);
    await vi.waitFor(() => expect(stateOf(pid)).toBe('T'), WAIT);
    preparer.setLoadsInFlight(0);
    await vi.waitFor(() => expect(stateOf(pid)).not.toBe('T'), WAIT);
  });

  test('ends its run when the host-agent is gone', async () => {
    const { server, preparer, pid } = await aRun();
    preparer.close();
    await vi.waitFor(() => expect(stateOf(pid)).toBe('gone'), WAIT);
    expect([server.exitCode, world.prepared]).toEqual([null, {}]);
  });

  test.each([
    ['run', (_server: ChildProcess, pid: string) => void process.kill(Number(pid), 'SIGKILL')],
    ['server', (server: ChildProcess) => void server.kill('SIGKILL')],
  ])('leaves nothing behind when the %s is killed', async (_name, kill) => {
    const { server, pid } = await aRun();
    kill(server, pid);
    if (server.killed) process.kill(Number(pid), 'SIGKILL');
    await vi.waitFor(() => expect([world.problems.length, world.isIdle]).toEqual([1, true]), WAIT);
    expect(String(world.problems[0])).toContain('broke off');
    expect([world.prepared, world.bytes]).toEqual([{}, 0]);
  });

  test('ends on SIGTERM, with its run', async () => {
    const { server, pid } = await aRun();
    server.kill('SIGTERM');
    await vi.waitFor(() => expect([server.exitCode, stateOf(pid)]).toEqual([0, 'gone']), WAIT);
  });
});
