import { readFile, readdir } from 'node:fs/promises';
import { basename } from 'node:path';

/** Pids, as this machine counts them, of the processes of a test node whose command line contains `text`. */
export async function processesOfNode(nodeFolder: string, text: string): Promise<number[]> {
  const node = basename(nodeFolder);
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const [command, groups] = await Promise.all([readProcess(name, 'cmdline'), readProcess(name, 'cgroup')]);
    if (groups.includes(node) && command.replaceAll('\0', ' ').includes(text)) found.push(Number(name));
  }
  return found;
}

/** The mounts of the node, one a line; not those of the containers on it. */
export async function mountsOfNode(nodeFolder: string): Promise<string[]> {
  const [holder = ''] = (await readFile(`${nodeFolder}/holder`, 'utf8')).split(' ');
  return (await readFile(`/proc/${holder}/mountinfo`, 'utf8')).split('\n');
}

/** Empty for one that has ended in the meantime. */
async function readProcess(pid: string, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
