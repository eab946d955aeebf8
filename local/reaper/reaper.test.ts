import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Reaper } from './reaper.ts';

const log = pino({ level: 'silent' });
const started: ChildProcess[] = [];
let parent: string;
let runDir: string;

beforeEach(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'reaper-'));
  runDir = path.join(parent, 'warmpool-run');
  await mkdir(runDir);
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  await rm(parent, { recursive: true, force: true });
});

/** A process group of its own that never ends by itself. */
function aBusyGroup(): { pid: number; ended: Promise<unknown> } {
  const child = spawn(process.execPath, ['-e', 'for (;;);'], { detached: true, stdio: 'ignore' });
  started.push(child);
  return { pid: child.pid ?? 0, ended: once(child, 'exit', { signal: AbortSignal.timeout(5000) }) };
}

describe('the reaper', () => {
  it('kills what is listed when it is stopped, and removes the run directory', async () => {
    const reaper = await Reaper.start(runDir, log);
    const group = aBusyGroup();
    reaper.add(group.pid);
    await reaper.stop();
    await group.ended;
    expect(existsSync(runDir)).toBe(false);
  });

  it('spares a group that was taken off the list', async () => {
    const reaper = await Reaper.start(runDir, log);
    const [first, spared, last] = [aBusyGroup(), aBusyGroup(), aBusyGroup()];
    for (const { pid } of [first, spared, last]) reaper.add(pid);
    reaper.remove(spared.pid);
    await reaper.stop();
    await Promise.all([first.ended, last.ended]);
    expect(process.kill(spared.pid, 0)).toBe(true);
  });

  it('is started again with the whole list when it dies', async () => {
    const reaper = await Reaper.start(runDir, log);
    const [before, after] = [aBusyGroup(), aBusyGroup()];
    reaper.add(before.pid);
    const { pid } = reaper;
    process.kill(pid ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(reaper.pid).toSatisfy((now) => now !== undefined && now !== pid), 5000);
    reaper.add(after.pid);
    await reaper.stop();
    await Promise.all([before.ended, after.ended]);
    expect(existsSync(runDir)).toBe(false);
  });

  it('does its work when it is stopped just after it died', async () => {
    const reaper = await Reaper.start(runDir, log);
    const group = aBusyGroup();
    reaper.add(group.pid);
    process.kill(reaper.pid ?? 0, 'SIGKILL');
    await vi.waitFor(() => expect(reaper.pid).toBeUndefined(), 5000);
    await reaper.stop();
    await group.ended;
    expect(existsSync(runDir)).toBe(false);
  });

  it('removes read-only folders, and nothing that links lead to', async () => {
    const kept = path.join(parent, 'kept');
    await mkdir(kept);
    await writeFile(path.join(kept, 'file'), '');
    const readOnly = path.join(runDir, 'code');
    await mkdir(readOnly);
    await symlink(kept, path.join(readOnly, 'link'));
    await chmod(readOnly, 0o500);
    const reaper = await Reaper.start(runDir, log);
    await reaper.stop();
    expect(existsSync(runDir)).toBe(false);
    expect(existsSync(path.join(kept, 'file'))).toBe(true);
  });

  it('removes no folder that is not a run directory', async () => {
    const other = path.join(parent, 'precious');
    await mkdir(other);
    const reaper = await Reaper.start(other, log);
    await reaper.stop();
    expect(existsSync(other)).toBe(true);
  });

  it.runIf(process.platform === 'linux')(
    'ignores the signals that end a supervisor: it has to outlive it',
    async () => {
      const reaper = await Reaper.start(runDir, log);
      const pid = reaper.pid ?? 0;
      const group = aBusyGroup();
      reaper.add(group.pid);
      // SIGHUP 1, SIGINT 2, SIGTERM 15: from when the shell has set its trap
      const expected = (1n << 0n) | (1n << 1n) | (1n << 14n);
      await vi.waitFor(async () => {
        const ignored = /^SigIgn:\s*(\w+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '0';
        expect(BigInt(`0x${ignored}`) & expected).toBe(expected);
      }, 5000);
      for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) process.kill(pid, signal);
      await reaper.stop();
      await group.ended;
      expect(existsSync(runDir)).toBe(false);
    },
  );

  it('cleans up after a supervisor that got kill -9', async () => {
    const group = aBusyGroup();
    const module = JSON.stringify(fileURLToPath(new URL('reaper.ts', import.meta.url)));
    const code = `
      import { Reaper } from ${module};
      const reaper = await Reaper.start(${JSON.stringify(runDir)}, console);
      reaper.add(${group.pid});
      console.log('started');
      setInterval(() => undefined, 1000);
    `;
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    started.push(supervisor);
    await once(createInterface(supervisor.stdout), 'line');
    supervisor.kill('SIGKILL');
    await group.ended;
    await vi.waitFor(() => expect(existsSync(runDir)).toBe(false), 2000);
  });
});
