import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SLOTS = 64;

/** Addresses of one test node. This machine reaches its pods and services through a pair of interfaces that ends with the node. */
export interface NodeNetwork {
  hostIp: string;
  nodeIp: string;
  podCidr: string;
  serviceCidr: string;
  /** Of the `kubernetes` service. */
  apiServiceIp: string;
  dnsServiceIp: string;
}

/** Takes the first range that nobody uses: several nodes may run at once. */
export async function connectNode(holderPid: number): Promise<NodeNetwork> {
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const network = networkOf(slot);
    const link = `wpnode${slot}`;
    if (!(await addLink(link, holderPid))) continue;
    const inside = (...args: string[]): Promise<unknown> =>
      run('nsenter', ['--target', String(holderPid), '--net', 'ip', ...args]);
    await inside('address', 'add', `${network.nodeIp}/30`, 'dev', 'eth0');
    await inside('link', 'set', 'eth0', 'up');
    await run('ip', ['address', 'add', `${network.hostIp}/30`, 'dev', link]);
    await run('ip', ['link', 'set', link, 'up']);
    await inside('route', 'add', 'default', 'via', network.hostIp);
    for (const range of [network.podCidr, network.serviceCidr]) {
      await run('ip', ['route', 'add', range, 'via', network.nodeIp]);
    }
    return network;
  }
  throw new Error(`all ${SLOTS} address ranges for test nodes are in use; see: ip link`);
}

function networkOf(slot: number): NodeNetwork {
  const base = `10.${160 + slot}`;
  return {
    hostIp: `${base}.255.1`,
    nodeIp: `${base}.255.2`,
    podCidr: `${base}.0.0/20`,
    serviceCidr: `${base}.96.0/24`,
    apiServiceIp: `${base}.96.1`,
    dnsServiceIp: `${base}.96.10`,
  };
}

/** False when the name is taken, which also claims the slot: making an interface is atomic. */
async function addLink(link: string, holderPid: number): Promise<boolean> {
  try {
    const peer = ['peer', 'name', 'eth0', 'netns', String(holderPid)];
    await run('ip', ['link', 'add', link, 'type', 'veth', ...peer]);
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes('File exists')) return false;
    throw error;
  }
}
