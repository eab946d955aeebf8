import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SLOTS = 64;

/** Addresses of one test node. This machine reaches its pods and services through a pair of interfaces that ends with the node. */
export interface NodeNetwork {
  hostIp: string;
  nodeIp: string;
  /** Where the node sends what is not for itself. */
  gatewayIp: string;
  podCidr: string;
  serviceCidr: string;
  apiserverIp: string;
  /** Of the `kubernetes` service. */
  apiServiceIp: string;
  dnsServiceIp: string;
}

/** A running node with the network that it was given. */
export interface Gateway {
  holderPid: number;
  network: NodeNetwork;
}

/** Takes the first range that nobody uses: several nodes may run at once. */
export async function connectNode(holderPid: number): Promise<NodeNetwork> {
  for (let slot = 0; slot < SLOTS; slot += 1) {
    const network = networkOf(slot);
    const link = `wpnode${slot}`;
    if (!(await addLink([], link, holderPid))) continue;
    await setUpLink([], link, holderPid, network);
    for (const range of [network.podCidr, network.serviceCidr]) {
      await ip([], 'route', 'add', range, 'via', network.nodeIp);
    }
    return network;
  }
  throw new Error(`all ${SLOTS} address ranges for test nodes are in use; see: ip link`);
}

/** One more node of the same cluster, which this machine and the rest of it reach through the first; a gateway takes one. */
export async function connectBehind(
  { holderPid: gatewayPid, network }: Gateway,
  holderPid: number,
): Promise<NodeNetwork> {
  const base = network.podCidr.replace(/\.0\.0\/20$/, '');
  const [gatewayIp, nodeIp, podCidr] = [`${base}.255.5`, `${base}.255.6`, `${base}.16.0/20`];
  const link = 'eth1';
  const gateway = enter(gatewayPid);
  if (!(await addLink(gateway, link, holderPid))) throw new Error('there is a node behind this one already');
  await setUpLink(gateway, link, holderPid, { nodeIp, gatewayIp });
  await ip(gateway, 'route', 'add', podCidr, 'via', nodeIp);
  // what a node before it has left
  for (const range of [podCidr, nodeIp]) await ip([], 'route', 'replace', range, 'via', network.nodeIp);
  return { ...network, nodeIp, gatewayIp, podCidr };
}

function networkOf(slot: number): NodeNetwork {
  const base = `10.${160 + slot}`;
  const [hostIp, nodeIp] = [`${base}.255.1`, `${base}.255.2`];
  return {
    hostIp,
    nodeIp,
    gatewayIp: hostIp,
    podCidr: `${base}.0.0/20`,
    serviceCidr: `${base}.96.0/24`,
    apiserverIp: nodeIp,
    apiServiceIp: `${base}.96.1`,
    dnsServiceIp: `${base}.96.10`,
  };
}

function enter(holderPid: number): string[] {
  return ['nsenter', '--target', String(holderPid), '--net'];
}

async function ip(where: string[], ...args: string[]): Promise<void> {
  const [program = '', ...rest] = [...where, 'ip', ...args];
  await run(program, rest);
}

/** Both ends: `link` where the gateway is, and the node's own. */
async function setUpLink(
  gateway: string[],
  link: string,
  holderPid: number,
  { nodeIp, gatewayIp }: Pick<NodeNetwork, 'nodeIp' | 'gatewayIp'>,
): Promise<void> {
  const inside = enter(holderPid);
  for (const [where, device, address] of [
    [inside, 'eth0', nodeIp],
    [gateway, link, gatewayIp],
  ] as const) {
    await ip(where, 'address', 'add', `${address}/30`, 'dev', device);
    await ip(where, 'link', 'set', device, 'up');
  }
  await ip(inside, 'route', 'add', 'default', 'via', gatewayIp);
}

/** False when the name is taken, which also claims the slot: making an interface is atomic. */
async function addLink(where: string[], link: string, holderPid: number): Promise<boolean> {
  try {
    await ip(where, 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(holderPid));
    return true;
  } catch (error) {
    if (error instanceof Error && error.message.includes('File exists')) return false;
    throw error;
  }
}
