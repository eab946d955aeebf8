import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const EMPTY_TIMEOUT_MS = 5_000;

/** A cgroup with one limit, for processes of a test. */
export interface CgroupLimit {
  put(pid: number): void;
  /** Ends what is left in it, as a container's end does. */
  remove(): Promise<void>;
}

/** Undefined where this process may not make cgroups: not root, or none of the two versions is mounted for writing. */
export function cgroupLimit(controller: 'pids' | 'memory', limit: number): CgroupLimit | undefined {
  const isVersion1 = existsSync(path.join(ROOT, controller));
  const parent = isVersion1 ? path.join(ROOT, controller) : ROOT;
  const folder = path.join(parent, `warmpool-test-${process.pid}-${controller}-${randomUUID()}`);
  const file = { pids: 'pids.max', memory: isVersion1 ? 'memory.limit_in_bytes' : 'memory.max' }[controller];
  try {
    if (!isVersion1) writeFileSync(path.join(ROOT, 'cgroup.subtree_control'), `+${controller}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, file), String(limit));
  } catch {
    return undefined;
  }
  const procs = path.join(folder, 'cgroup.procs');
  return {
    put: (pid) => writeFileSync(procs, String(pid)),
    remove: async () => {
      const deadline = performance.now() + EMPTY_TIMEOUT_MS;
      const left = (): number[] => readFileSync(procs, 'utf8').split('\n').filter(Boolean).map(Number);
      while (left().length > 0 && performance.now() < deadline) {
        for (const pid of left()) kill(pid);
        await sleep(20);
      }
      rmdirSync(folder);
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself
  }
}
