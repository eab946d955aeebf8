import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { credentialsFolder } from './cluster.ts';
import { makeNodeCredentials } from './credentials.ts';
import type { ClusterAccess } from './global-setup.ts';
import { type Kubectl, until } from './kubectl.ts';
import { policyFlags } from './node-flags.ts';
import { NodePrograms, READY_LIMIT_MS } from './node-programs.ts';
import { insideNode, startTestNode, type TestNode } from './node/test-node.ts';

export const SECOND_NODE = 'node-2';
/** Listens until its input ends. */
const LISTENER = `
  const [, host, port] = process.argv;
  require('node:net').createServer((socket) => socket.end()).listen(Number(port), host, () => console.log('listening'));
  process.stdin.resume().once('end', () => process.exit());
`;
const run = promisify(execFile);

/** One more node of the cluster, with pods, network and code cache of its own, until it is disposed of. */
export class SecondNode implements AsyncDisposable {
  readonly folder: string;
  readonly #node: TestNode;
  readonly #programs: NodePrograms;
  readonly #kubectl: Kubectl;
  readonly #gatewayFolder: string;
  readonly #kubeconfig: string;

  private constructor(
    node: TestNode,
    programs: NodePrograms,
    kubectl: Kubectl,
    first: { folder: string; kubeconfig: string },
  ) {
    this.folder = node.folder;
    this.#node = node;
    this.#programs = programs;
    this.#kubectl = kubectl;
    this.#gatewayFolder = first.folder;
    this.#kubeconfig = first.kubeconfig;
  }

  static async join({ own, kubeconfig }: ClusterAccess, kubectl: Kubectl): Promise<SecondNode> {
    if (own === undefined)
      throw new Error('a node can join the cluster that these tests have brought up, and no other');
    const { nodeFolder, network, binaries, policyEnforcer, pauseArchive, productArchives } = own;
    const node = await startTestNode({ folder: nodeFolder, network });
    const programs = new NodePrograms(node, { ...binaries, 'kube-router': policyEnforcer });
    try {
      const credentials = await makeNodeCredentials(credentialsFolder(nodeFolder), node.network, SECOND_NODE);
      await programs.startContainers([pauseArchive, ...productArchives]);
      await programs.startKubelet(credentials, () => isNodeReady(kubectl, SECOND_NODE));
    } catch (error) {
      await programs.keepLogs();
      await programs.stop();
      throw error;
    }
    return new SecondNode(node, programs, kubectl, { folder: nodeFolder, kubeconfig });
  }

  /** From now on NetworkPolicies hold for its pods. */
  async enforcePolicies(): Promise<void> {
    const program = await this.#programs.start('kube-router', policyFlags(this.#node, SECOND_NODE, this.#kubeconfig));
    await program.until(
      async () => (await this.#programs.output(['iptables-save'])).includes('KUBE-POD-FW-'),
      READY_LIMIT_MS,
    );
  }

  /** Something that listens at an address outside of the node, on the first one: its pods reach it as they reach the internet. */
  async serveAtGateway(host: string, port: number): Promise<AsyncDisposable> {
    const atGateway = (...command: string[]) => insideNode(this.#gatewayFolder, command);
    const address = async (change: 'add' | 'delete'): Promise<void> => {
      const [ip, ...args] = atGateway('ip', 'address', change, `${host}/32`, 'dev', 'lo');
      await run(ip, args);
    };
    await address('add');
    const [node, ...args] = atGateway(process.execPath, '--eval', LISTENER, host, String(port));
    const server = spawn(node, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(server.stdout, 'data', { signal: AbortSignal.timeout(READY_LIMIT_MS) });
    return {
      [Symbol.asyncDispose]: async () => {
        server.stdin.end();
        await once(server, 'exit');
        await address('delete');
      },
    };
  }

  /** From the first node and everything behind it, until this is disposed of; what runs on it runs on. */
  async cutOff(): Promise<AsyncDisposable> {
    const ip = (...args: string[]): Promise<string> => this.#programs.output(['ip', ...args]);
    await ip('link', 'set', 'eth0', 'down');
    return {
      [Symbol.asyncDispose]: async () => {
        await ip('link', 'set', 'eth0', 'up');
        // went with the link
        await ip('route', 'replace', 'default', 'via', this.#node.network.gatewayIp);
      },
    };
  }

  /** All at once, as by a cut of its power: everything on it is gone and says nothing. */
  async lose(): Promise<void> {
    await this.#programs.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lose();
    await this.#kubectl.run(['delete', 'node', SECOND_NODE, '--ignore-not-found']);
    await until('its pods to be gone', READY_LIMIT_MS, async () => {
      const selector = `--field-selector=spec.nodeName=${SECOND_NODE}`;
      return (await this.#kubectl.run(['get', 'pods', '--all-namespaces', selector, '--output=name'])) === '';
    });
  }
}

export async function isNodeReady(kubectl: Kubectl, nodeName: string): Promise<boolean> {
  const condition = '{.status.conditions[?(@.type=="Ready")].status}';
  return (await kubectl.run(['get', 'node', nodeName, `--output=jsonpath=${condition}`])) === 'True';
}
