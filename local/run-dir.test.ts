import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertSocketPathFits, createRunDir } from './run-dir.ts';

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'run-dir-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid ?? 0;
}

async function aFolder(name: string, pidFile?: string): Promise<string> {
  const folder = path.join(parent, name);
  await mkdir(folder, { recursive: true });
  if (pidFile !== undefined) await writeFile(path.join(folder, 'supervisor.pid'), pidFile);
  return folder;
}

describe('a run directory', () => {
  it('can be entered by its owner only and has a place for pods', async () => {
    const run = await createRunDir(parent);
    expect((await stat(run.path)).mode & 0o777).toBe(0o700);
    expect((await stat(run.podsDir)).isDirectory()).toBe(true);
  });

  it('removes what runs that died have left, read-only folders included', async () => {
    const leftover = await aFolder('warmpool-dead01', `${await deadPid()} 123\n`);
    const code = await aFolder('warmpool-dead01/pods/uid/code');
    await writeFile(path.join(code, 'index.js'), '');
    await chmod(code, 0o500);
    const run = await createRunDir(parent);
    expect(run.removedLeftovers).toEqual([leftover]);
    expect(await readdir(parent)).toEqual([path.basename(run.path)]);
  });

  it('removes the folder of a dead run whose pid another process has now', async () => {
    const leftover = await aFolder('warmpool-reused', `${process.pid} 1\n`);
    expect((await createRunDir(parent)).removedLeftovers).toEqual([leftover]);
  });

  it('leaves alone what is not a dead run of ours', async () => {
    const outside = await aFolder('elsewhere', `${await deadPid()}\n`);
    await symlink(outside, path.join(parent, 'warmpool-link01'));
    const live = await createRunDir(parent);
    await aFolder('warmpool-nofile');
    await aFolder('warmpool-broken', 'not a pid');
    await aFolder('warmpool-data', `${await deadPid()}\n`);
    await writeFile(path.join(parent, 'warmpool-afile1'), '');
    const before = await readdir(parent);
    const run = await createRunDir(parent);
    expect(run.removedLeftovers).toEqual([]);
    expect((await readdir(parent)).sort()).toEqual([...before, path.basename(run.path)].sort());
    expect(await readFile(path.join(live.path, 'supervisor.pid'), 'utf8')).toMatch(new RegExp(`^${process.pid} `));
  });

  it('is refused where socket paths would be longer than the system allows, before anything is made', async () => {
    const deep = path.join(parent, 'x'.repeat(100));
    await mkdir(deep);
    await expect(createRunDir(deep)).rejects.toMatchObject({
      code: 'SocketPathTooLong',
      message: expect.stringMatching(/agent\.sock has \d+ bytes; the system allows 10[37]\. Set TMPDIR/) as string,
    });
    expect(await readdir(deep)).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('counts bytes, not letters', () => {
    expect(() => assertSocketPathFits('a'.repeat(107))).not.toThrow();
    expect(() => assertSocketPathFits('ä'.repeat(54))).toThrow('has 108 bytes');
  });
});
