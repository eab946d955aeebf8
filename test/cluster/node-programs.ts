import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { NodeCredentials } from './credentials.ts';
import { CONTAINERD_SOCKET, containerdFlags, kubeletFlags, proxyFlags } from './node-flags.ts';
import { NodeProgram } from './node/node-program.ts';
import type { TestNode } from './node/test-node.ts';

export const CLUSTER_BINARIES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kube-proxy',
  'kubelet',
] as const;
export type ClusterBinary = (typeof CLUSTER_BINARIES)[number];

const CONTROL_PLANE = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];
export const READY_LIMIT_MS = 120_000;
// importing an image on a busy disk
const COMMAND_LIMIT_MS = 120_000;
const run = promisify(execFile);

/** The programs of one test node. */
export class NodePrograms {
  readonly #node: TestNode;
  readonly #binaries: Record<string, string>;
  readonly #programs = new Map<string, NodeProgram>();

  /** Binaries by name; others are found on the PATH. */
  constructor(node: TestNode, binaries: Record<string, string>) {
    this.#node = node;
    this.#binaries = binaries;
  }

  async start(name: string, flags: string[]): Promise<NodeProgram> {
    const slice = CONTROL_PLANE.includes(name) ? 'control-plane' : 'system';
    const program = await NodeProgram.start(this.#node, name, [this.#binaries[name] ?? name, ...flags], slice);
    this.#programs.set(name, program);
    return program;
  }

  get(name: string): NodeProgram {
    const found = this.#programs.get(name);
    if (found === undefined) throw new Error(`${name} is not a program of this node`);
    return found;
  }

  /** containerd, with these images. */
  async startContainers(imageArchives: string[]): Promise<void> {
    const containerd = await this.start('containerd', await containerdFlags(this.#node));
    const ctr = (...args: string[]): Promise<string> =>
      this.output(['ctr', '--address', CONTAINERD_SOCKET, '--namespace', 'k8s.io', ...args]);
    await containerd.until(async () => {
      await ctr('version');
      return true;
    }, READY_LIMIT_MS);
    for (const archive of imageArchives) await ctr('images', 'import', archive);
  }

  /** Kubelet and kube-proxy, until the apiserver says that the node is Ready. */
  async startKubelet(credentials: NodeCredentials, isReady: () => Promise<boolean>): Promise<void> {
    const kubelet = await this.start('kubelet', await kubeletFlags(this.#node, credentials));
    await this.start('kube-proxy', proxyFlags(this.#node, credentials));
    await kubelet.until(isReady, READY_LIMIT_MS);
  }

  /** Of a command that ends by itself. */
  async output(command: string[]): Promise<string> {
    const [program, ...args] = this.#node.inside(command);
    return (await run(program, args, { timeout: COMMAND_LIMIT_MS, maxBuffer: 16 * 1024 * 1024 })).stdout;
  }

  /** Ends all of them, with everything else on the node. */
  async stop(): Promise<void> {
    for (const program of this.#programs.values()) program.leave();
    await this.#node.stop();
  }

  /** What a person needs who wants to know why: its folder is gone with the node. */
  async keepLogs(): Promise<void> {
    const kept = await mkdtemp(join(tmpdir(), 'warmpool-logs-'));
    for (const file of await readdir(this.#node.folder)) {
      if (file.endsWith('.log')) await cp(join(this.#node.folder, file), join(kept, file));
    }
    process.stderr.write(`the node's logs are in ${kept}\n`);
  }
}
