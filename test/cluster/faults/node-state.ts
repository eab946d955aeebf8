import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { mountsOfNode } from '../node-processes.ts';

/** One process on the node, as this machine sees it. */
export interface NodeProcess {
  pid: number;
  parent: number;
  command: string;
  /** Of the pod whose container it is in. */
  podUid: string | undefined;
}

/** What pods leave on their node. */
export interface NodeState {
  processes: NodeProcess[];
  /** Mount points in the volumes of pods, by pod. */
  volumeMounts: Map<string, string[]>;
  /** Pods that the host-agent has a folder for. */
  records: string[];
  shims: number;
}

/** The runtimes' own files are there in each of their images. */
const RUNTIME = '/opt/warmpool/';
const SHIM = 'containerd-shim-runc-v2';
/** The kubelet mounts it into each container of a pod. */
const HOSTS_FILE = /\/pods\/([0-9a-f-]{36})\/etc-hosts /;
const CSI_MOUNT = /^\/var\/lib\/kubelet\/pods\/([0-9a-f-]{36})\/volumes\/kubernetes\.io~csi\//;

export async function readNode(nodeFolder: string): Promise<NodeState> {
  const processes = await processesIn(nodeFolder);
  return {
    processes: processes.filter(({ podUid, command }) => podUid !== undefined && command.includes(RUNTIME)),
    volumeMounts: volumeMounts(await mountsOfNode(nodeFolder)),
    records: (await readdir(join(nodeFolder, 'var/lib/warmpool/pods'))).filter((name) => !name.startsWith('.')),
    shims: processes.filter(({ command }) => command.includes(SHIM) && command.includes(' -id ')).length,
  };
}

export async function processesIn(nodeFolder: string): Promise<NodeProcess[]> {
  const node = basename(nodeFolder);
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(pids.map((pid) => describeProcess(node, pid)));
  return all.filter((process) => process !== undefined);
}

/** The process that holds a pod's containers on behalf of containerd: the parent of each of them. */
export async function shimOf(nodeFolder: string, podUid: string): Promise<number> {
  const processes = await processesIn(nodeFolder);
  const pids = new Map(processes.map((process) => [process.pid, process]));
  for (const process of processes) {
    const parent = process.podUid === podUid ? pids.get(process.parent) : undefined;
    if (parent?.command.includes(SHIM)) return parent.pid;
  }
  throw new Error(`pod ${podUid} has no shim`);
}

/** Of the runtime in a pod: the process that the container started, then what that has started. */
export async function runtimeOf(nodeFolder: string, podUid: string): Promise<NodeProcess[]> {
  const found = (await readNode(nodeFolder)).processes.filter((process) => process.podUid === podUid);
  const pids = new Set(found.map(({ pid }) => pid));
  return found.toSorted((a, b) => Number(pids.has(a.parent)) - Number(pids.has(b.parent)));
}

async function describeProcess(node: string, pid: string): Promise<NodeProcess | undefined> {
  try {
    const read = (file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8');
    if (!(await read('cgroup')).includes(node)) return undefined;
    const [command, mounts, stat] = await Promise.all([read('cmdline'), read('mountinfo'), read('stat')]);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    const podUid = HOSTS_FILE.exec(mounts)?.[1];
    return { pid: Number(pid), parent, command: command.replaceAll('\0', ' '), podUid };
  } catch {
    return undefined; // ended in the meantime
  }
}

function volumeMounts(lines: string[]): Map<string, string[]> {
  const mounts = new Map<string, string[]>();
  for (const line of lines) {
    const path = line.split(' ')[4] ?? '';
    const uid = CSI_MOUNT.exec(path)?.[1];
    if (uid !== undefined) mounts.set(uid, [...(mounts.get(uid) ?? []), path]);
  }
  return mounts;
}
