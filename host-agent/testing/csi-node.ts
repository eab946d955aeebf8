import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { CSI_DRIVER } from '@warmpool/protocol/names.ts';
import type { Mount } from '../core/mount-table.ts';
import type { FakeAgentOptions } from './fake-agent.ts';
import { FakeAgent } from './fake-agent.ts';
import type { HostAgentProcess } from './host-agent-process.ts';
import { KubeletCalls } from './kubelet-calls.ts';
import { buildMountHelper, MountNamespace } from './mount-namespace.ts';
import { NodeUnderTest } from './node-under-test.ts';

/** A node whose kubelet speaks CSI to real host-agents, in a mount namespace of its own. */
export class CsiNode {
  readonly node: NodeUnderTest;
  readonly namespace: MountNamespace;
  readonly kubelet: KubeletCalls;
  readonly hostPathDir: string;
  readonly #agents = new Map<string, FakeAgent>();
  #links = 0;

  private constructor(node: NodeUnderTest, namespace: MountNamespace) {
    this.node = node;
    this.namespace = namespace;
    this.hostPathDir = join(node.folder, 'hp', 'shared');
    this.kubelet = new KubeletCalls(join(node.folder, 'k'), {
      csi: join(node.folder, 'csi.sock'),
      registration: join(node.folder, 'registry', `${CSI_DRIVER}-reg.sock`),
    });
  }

  static async start(): Promise<CsiNode> {
    const node = new NodeUnderTest();
    mkdirSync(join(node.folder, 'k', 'pods'), { recursive: true });
    buildMountHelper(join(node.folder, 'mount-helper'));
    return new CsiNode(node, await MountNamespace.start([join(node.folder, 'k'), join(node.folder, 'hp')]));
  }

  get folder(): string {
    return this.node.folder;
  }

  host(flags: string[] = []): Promise<HostAgentProcess> {
    const { folder } = this.node;
    const own = [
      ...['--csi-socket', join(folder, 'csi.sock')],
      ...['--registration-dir', join(folder, 'registry')],
      ...['--kubelet-dir', this.kubelet.dir],
      ...['--mount-helper', join(folder, 'mount-helper')],
    ];
    return this.node.host([...own, ...flags], this.namespace.enterAsHostAgent);
  }

  /** An agent in a volume that is there already, as the container would start it. */
  async agent(podUid: string, path: string, options: Partial<FakeAgentOptions> = {}): Promise<FakeAgent> {
    const volume = this.outside(path);
    const agent = await FakeAgent.start({ podsDir: '', podUid, volume, ...options });
    this.#agents.set(podUid, agent);
    return agent;
  }

  async publishedPod(podUid: string, options: Partial<FakeAgentOptions> = {}): Promise<FakeAgent> {
    await this.kubelet.publish(podUid);
    return this.agent(podUid, this.kubelet.target(podUid), options);
  }

  /** As a kubelet does: containers end, then volumes go, then the pod's folder. */
  async removePod(podUid: string): Promise<void> {
    await this.endAgent(podUid);
    await this.kubelet.unpublish(podUid);
    this.kubelet.forgetPod(podUid);
  }

  async endAgent(podUid: string): Promise<void> {
    await this.#agents.get(podUid)?.stop();
    this.#agents.delete(podUid);
  }

  /** A short path to something in the namespace: a socket's may have 107 bytes. */
  outside(path: string): string {
    const link = join(this.node.folder, `l${this.#links++}`);
    symlinkSync(this.namespace.inside(path), link);
    return link;
  }

  /** What is mounted for pods, by the path below the kubelet's folder of pods. */
  volumeMounts(): Mount[] {
    const pods = join(this.kubelet.dir, 'pods');
    return this.namespace.mountsWithin(pods).map((mount) => ({
      ...mount,
      mountPoint: mount.mountPoint.slice(pods.length + 1),
    }));
  }

  async close(): Promise<void> {
    for (const podUid of [...this.#agents.keys()]) await this.endAgent(podUid);
    // first the processes, then their mounts, then the folder
    await this.node.stop();
    await this.namespace.close();
    rmSync(this.node.folder, { recursive: true, force: true });
  }
}
