import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface RunProcess {
  pid: number;
  command: string;
}

/**
 * Every process that belongs to the run of `runDir`: its path is in the command line, the environment or the working directory. A
 * process that has ended but was not waited for yet counts as gone.
 */
export function processesOf(runDir: string): RunProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid)
    .flatMap((pid) => {
      const command = readProcFile(pid, 'cmdline').replaceAll('\0', ' ').trim();
      const traces = [command, readProcFile(pid, 'environ'), linkOf(pid)];
      return command !== '' && traces.some((text) => text.includes(runDir)) ? [{ pid, command }] : [];
    });
}

/** The process that a pod was started as. */
export function podProcess(runDir: string, podUid: string): RunProcess | undefined {
  const socket = `WARMPOOL_SOCKET=${runDir}/pods/${podUid}/`;
  return processesOf(runDir).find(({ pid }) => readProcFile(pid, 'environ').includes(socket) && groupOf(pid) === pid);
}

/** The processes of a pod: its own and those that it started. */
export function processGroup(groupId: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => groupOf(pid) === groupId);
}

export function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && readProcFile(pid, 'cmdline') !== '';
}

/** Empty for a process that ended, or that is not ours to read. */
export function readProcFile(pid: number, name: 'cmdline' | 'environ' | 'maps' | 'stat'): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}

function linkOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function groupOf(pid: number): number {
  // the command's name is in parentheses and may hold spaces; field 5 is the third after it
  const stat = readProcFile(pid, 'stat');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
}
