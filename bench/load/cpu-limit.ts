import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = '/sys/fs/cgroup';
const PERIOD_US = 100_000;
const EMPTY_TIMEOUT_MS = 5_000;

/** Kubernetes writes a limit of `100m` as a tenth of each period of 100 ms; both versions of cgroups can say that. */
export interface CpuLimit {
  /** What a command is put behind so that it runs in here from its first instruction. */
  readonly entrance: readonly string[];
  /** `undefined` takes the limit away. */
  set(milliCpu: number | undefined): void;
  usedCpuMs(): number;
  pids(): number[];
  /** Ends what is left in it. */
  remove(): Promise<void>;
}

interface Layout {
  /** One folder for each hierarchy that a process has to be in. */
  parents: string[];
  limit: (folders: string[], milliCpu: number | undefined) => void;
  usedCpuMs: (folders: string[]) => number;
}

const VERSION_1: Layout = {
  parents: [path.join(ROOT, 'cpu'), path.join(ROOT, 'cpuacct')],
  limit: ([cpu = ''], milliCpu) => {
    writeFileSync(path.join(cpu, 'cpu.cfs_period_us'), String(PERIOD_US));
    writeFileSync(path.join(cpu, 'cpu.cfs_quota_us'), milliCpu === undefined ? '-1' : String(milliCpu * 100));
  },
  usedCpuMs: ([, cpuacct = '']) => Number(readFileSync(path.join(cpuacct, 'cpuacct.usage'), 'utf8')) / 1e6,
};

const VERSION_2: Layout = {
  parents: [ROOT],
  limit: ([folder = ''], milliCpu) =>
    writeFileSync(path.join(folder, 'cpu.max'), `${milliCpu === undefined ? 'max' : milliCpu * 100} ${PERIOD_US}`),
  usedCpuMs: ([folder = '']) => {
    const stat = readFileSync(path.join(folder, 'cpu.stat'), 'utf8');
    return Number(/^usage_usec (\d+)/m.exec(stat)?.[1] ?? Number.NaN) / 1000;
  },
};

/** A group of its own without a limit yet. Undefined where this process may not make one: not root, or nothing is mounted for writing. */
export function openCpuLimit(): CpuLimit | undefined {
  const isVersion1 = existsSync(path.join(ROOT, 'cpu', 'cpu.cfs_quota_us')) || existsSync(path.join(ROOT, 'cpu'));
  const layout = isVersion1 ? VERSION_1 : VERSION_2;
  const name = `warmpool-bench-${process.pid}-${randomUUID()}`;
  // the two may be one hierarchy under two names
  const folders = layout.parents.map((parent) => path.join(parent, name));
  try {
    if (!isVersion1) writeFileSync(path.join(ROOT, 'cgroup.subtree_control'), '+cpu');
    for (const folder of folders) mkdirSync(folder, { recursive: true });
    layout.limit(folders, undefined);
  } catch {
    for (const folder of folders) removeFolder(folder);
    return undefined;
  }
  const procs = folders.map((folder) => path.join(folder, 'cgroup.procs'));
  const pids = (): number[] =>
    procs
      .slice(0, 1)
      .flatMap((file) => readFileSync(file, 'utf8').split('\n').filter(Boolean))
      .map(Number);
  return {
    entrance: [
      '/bin/sh',
      '-c',
      `${procs.map((file) => `echo $$ >'${file}'`).join(' && ')} && exec "$@"`,
      'enter-the-group',
    ],
    set: (milliCpu) => layout.limit(folders, milliCpu),
    usedCpuMs: () => layout.usedCpuMs(folders),
    pids,
    remove: async () => {
      layout.limit(folders, undefined);
      const deadlineMs = performance.now() + EMPTY_TIMEOUT_MS;
      while (pids().length > 0 && performance.now() < deadlineMs) {
        for (const pid of pids()) kill(pid);
        await sleep(5);
      }
      for (const folder of folders) removeFolder(folder);
    },
  };
}

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // it is not there, or holds a process that the kernel has not let go yet
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself
  }
}
