import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CsiNode } from './csi-node.ts';

const BOOTSTRAP = fileURLToPath(new URL('../../runtime-agent/bootstrap/nodejs', import.meta.url));
/** What container runtimes leave to root when a pod asks for nothing. */
const ROOT_CAPABILITIES =
  '+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_raw,+sys_chroot,+mknod';
/** As a container: its own mounts, which receive the volume's; nothing else of the node's folder; another user, no capabilities. */
const SCRIPT = `
set -e
mount -t tmpfs pod /run
mkdir /run/warmpool /run/node /run/runtime
mount --rbind "$VOLUME" /run/warmpool
mount --bind "$NODE_FOLDER" /run/node
mount --bind "$BOOTSTRAP" /run/runtime
mount -t tmpfs nothing "$NODE_OF_TEST"
cd /
exec setpriv --reuid="$POD_USER" --regid="$POD_USER" --clear-groups --bounding-set="$CAPABILITIES" --inh-caps=-all --no-new-privs \\
  env -u VOLUME -u NODE_FOLDER -u BOOTSTRAP -u NODE_OF_TEST -u POD_USER -u CAPABILITIES /run/node/node /run/runtime/main.mjs
`;

/** The real Node runtime in a published volume. */
export class RealPod {
  readonly podUid: string;
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(podUid: string, port: number, child: ChildProcess) {
    this.podUid = podUid;
    this.port = port;
    this.#child = child;
  }

  static async start(node: CsiNode, podUid: string, user: number): Promise<RealPod> {
    await node.kubelet.publish(podUid);
    const port = await freePort();
    const [file = '', ...enter] = node.namespace.enter;
    const args = [...enter, 'unshare', '--mount', '--propagation', 'slave', 'sh', '-c', SCRIPT];
    const env = {
      PATH: process.env['PATH'] ?? '',
      VOLUME: node.kubelet.target(podUid),
      NODE_FOLDER: dirname(process.execPath),
      BOOTSTRAP,
      NODE_OF_TEST: node.folder,
      POD_USER: String(user),
      CAPABILITIES: user === 0 ? `-all,${ROOT_CAPABILITIES}` : '-all',
      WARMPOOL_SOCKET: '/run/warmpool/agent.sock',
      WARMPOOL_HOST: '127.0.0.1',
      WARMPOOL_PORT: String(port),
      WARMPOOL_RUNTIME_NAME: 'nodejs',
      WARMPOOL_RUNTIME_VERSION: '24',
      WARMPOOL_LIFELINE: '1',
    };
    const child = spawn(file, args, { env, stdio: ['pipe', 'inherit', 'inherit'] });
    return new RealPod(podUid, port, child);
  }

  async invoke(): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.port}/`, { method: 'POST' });
    return answer.json();
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
