import { execFileSync, spawnSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { isAlive } from './run-processes.ts';

/** What this machine lacks for them, or undefined. */
export function missingForNodeNetworks(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  if (spawnSync('ip', ['-V'], { stdio: 'ignore' }).status !== 0) return 'no ip (iproute2)';
  const name = `wpt${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', name], { stdio: 'ignore' }).status !== 0)
    return 'no permission to make a network namespace';
  spawnSync('ip', ['netns', 'del', name]);
  return undefined;
}

export interface NodeNetwork {
  address: string;
  /** A command that runs the rest of its arguments in it. */
  enter: string[];
}

/** Network namespaces on one bridge, which this process is on too. */
export class NodeNetworks {
  /** Of this process. */
  readonly address: string;
  readonly nodes: NodeNetwork[] = [];
  readonly #bridge = `wpb${process.pid}`;
  readonly #subnet: string;

  constructor(count: number) {
    removeThoseOfTheDead();
    this.#subnet = freeSubnet();
    this.address = `${this.#subnet}.1`;
    try {
      ip('link', 'add', this.#bridge, 'type', 'bridge');
      ip('addr', 'add', `${this.address}/24`, 'dev', this.#bridge);
      ip('link', 'set', this.#bridge, 'up');
      for (let index = 0; index < count; index++) this.nodes.push(this.#add(index));
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  remove(): void {
    for (const index of this.nodes.keys()) spawnSync('ip', ['netns', 'del', this.#name(index)]);
    spawnSync('ip', ['link', 'del', this.#bridge]);
  }

  #add(index: number): NodeNetwork {
    const name = this.#name(index);
    const [outer, inner] = [`wpo${process.pid}-${index}`, `wpi${process.pid}-${index}`];
    const address = `${this.#subnet}.${10 + index}`;
    ip('netns', 'add', name);
    ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', inner, 'netns', name);
    ip('link', 'set', outer, 'master', this.#bridge, 'up');
    ip('-n', name, 'link', 'set', 'lo', 'up');
    ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', inner);
    ip('-n', name, 'link', 'set', inner, 'up');
    return { address, enter: ['ip', 'netns', 'exec', name] };
  }

  #name(index: number): string {
    return `wpn${process.pid}-${index}`;
  }
}

/** A test run that was killed leaves its networks, and two bridges with the same addresses answer to nobody. */
function removeThoseOfTheDead(): void {
  for (const [, name = '', pid] of outputOf('netns', 'list').matchAll(/^(wpn(\d+)-\d+)/gm)) {
    if (!isAlive(Number(pid))) spawnSync('ip', ['netns', 'del', name]);
  }
  for (const [, name = '', pid] of outputOf('-br', 'link').matchAll(/^(wpb(\d+))\s/gm)) {
    if (!isAlive(Number(pid))) spawnSync('ip', ['link', 'del', name]);
  }
}

/** The first three numbers of addresses that nothing else here uses. */
function freeSubnet(): string {
  const used = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []);
  for (let third = 0; third < 256; third++) {
    const subnet = `10.213.${third}`;
    if (!used.some((address) => address.startsWith(`${subnet}.`))) return subnet;
  }
  throw new Error('every address of 10.213.0.0/16 is in use');
}

function outputOf(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
