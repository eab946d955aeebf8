import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { connectBehind, connectNode, type NodeNetwork } from './node-network.ts';

const SCRIPTS = import.meta.dirname;
const FOLDER_PREFIX = 'warmpool-cluster-';
const START_LIMIT_MS = 20_000;
// removing a node's images can take long on a busy disk
const STOP_LIMIT_MS = 120_000;
const run = promisify(execFile);

/** Of the node's processor time; see node/supervise.sh. */
export type Slice = 'system' | 'control-plane';

/**
 * A machine within this machine for one Kubernetes node: own processes, mounts, network and cgroups, own /run, /var/lib and /var/log. It
 * ends when `stop` is called and also when the process that started it dies, and takes everything in it along.
 */
export interface TestNode {
  /** Everything it wrote; removed with it. */
  folder: string;
  network: NodeNetwork;
  inside(command: string[], slice?: Slice): [program: string, ...args: string[]];
  stop(): Promise<void>;
}

/** Behind a node that runs already, if one is given: in one cluster with it. */
export async function startTestNode(first?: Pick<TestNode, 'folder' | 'network'>): Promise<TestNode> {
  await removeAbandonedNodes();
  const folder = await mkdtemp(join(tmpdir(), FOLDER_PREFIX));
  const supervisor = spawn(join(SCRIPTS, 'supervise.sh'), [folder], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const stop = (): Promise<void> => stopSupervisor(supervisor);
  try {
    await untilReady(supervisor);
    const holder = await onlyChild(await onlyChild(supervisor.pid ?? 0));
    await writeFile(join(folder, 'holder'), `${holder} ${await startTime(holder)}\n`);
    const network =
      first === undefined
        ? await connectNode(holder)
        : await connectBehind({ holderPid: await holderOf(first.folder), network: first.network }, holder);
    return { folder, network, inside: (command, slice) => insideNode(folder, command, slice), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** What to execute in order to run a command in the node that has this folder. */
export function insideNode(
  folder: string,
  command: string[],
  slice: Slice = 'system',
): [program: string, ...args: string[]] {
  return [join(SCRIPTS, 'enter.sh'), folder, slice, ...command];
}

async function holderOf(folder: string): Promise<number> {
  const holder = await isRunning(join(folder, 'holder'));
  if (holder === undefined) throw new Error(`the node of ${folder} does not run`);
  return holder;
}

async function untilReady(supervisor: ChildProcess): Promise<void> {
  let complaints = '';
  supervisor.stderr?.setEncoding('utf8').on('data', (text: string) => void (complaints += text));
  const ended = new Promise<never>((_resolve, reject) => {
    supervisor.once('error', reject);
    supervisor.once('close', () => reject(new Error(`a test node cannot be made here: ${complaints.trim()}`)));
  });
  const signal = AbortSignal.timeout(START_LIMIT_MS);
  await Promise.race([once(createInterface({ input: supervisor.stdout! }), 'line', { signal }), ended]);
}

async function stopSupervisor(supervisor: ChildProcess): Promise<void> {
  if (supervisor.exitCode !== null || supervisor.signalCode !== null) return;
  const exited = once(supervisor, 'exit', { signal: AbortSignal.timeout(STOP_LIMIT_MS) });
  supervisor.stdin?.end();
  await exited;
}

/** A supervisor that was killed itself could not remove the files and cgroups of its node. */
async function removeAbandonedNodes(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const folder = join(tmpdir(), name);
    if (!name.startsWith(FOLDER_PREFIX) || (await isRunning(join(folder, 'supervisor')))) continue;
    const holder = await isRunning(join(folder, 'holder'));
    if (holder !== undefined) process.kill(holder, 'SIGKILL');
    await run(join(SCRIPTS, 'remove.sh'), [folder], { timeout: STOP_LIMIT_MS });
    process.stderr.write(`removed what an earlier run left: ${basename(folder)}\n`);
  }
}

/** The process that a file names, if it is still that process. */
async function isRunning(file: string): Promise<number | undefined> {
  try {
    const [pid = '', started] = (await readFile(file, 'utf8')).trim().split(' ');
    return (await startTime(Number(pid))) === started ? Number(pid) : undefined;
  } catch {
    return undefined;
  }
}

/** In clock ticks since boot: with it a pid names one process for ever. Undefined for one that ended and was not waited for yet. */
async function startTime(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // the command's name is in parentheses and may hold spaces
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' ? undefined : fields[18];
}

export async function onlyChild(pid: number): Promise<number> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim();
  if (!/^\d+$/.test(children)) throw new Error(`process ${pid} has the children "${children}", not one`);
  return Number(children);
}
