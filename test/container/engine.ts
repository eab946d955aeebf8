import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { missingPrograms, missingRights } from '../cluster/prerequisites.ts';
import { NodeProgram } from '../cluster/node/node-program.ts';
import { startTestNode } from '../cluster/node/test-node.ts';

/** Programs of Debian packages, by package; `.ci/run` installs them where it may. */
const PROGRAMS = {
  'docker.io': ['dockerd'],
  runc: ['runc'],
  iptables: ['iptables'],
  iproute2: ['ip'],
  buildah: ['buildah'],
  'nginx-light': ['nginx'],
  'openjdk-17-jdk-headless': ['java', 'javac'],
};
const READY_LIMIT_MS = 60_000;
const LOAD_LIMIT_MS = 240_000;

/** A Docker engine of a test's own. */
export interface Engine {
  /** Shared with the engine, by the same path: for what containers mount. */
  folder: string;
  socket: string;
  /** Where published ports are. */
  host: string;
  /** Where containers find this machine. */
  machine: string;
}

/** What an engine needs and this machine lacks, in words. */
export async function missingForEngine(env: NodeJS.ProcessEnv): Promise<string[]> {
  const rights = missingRights();
  return rights.length > 0 ? rights : missingPrograms(PROGRAMS, env);
}

/**
 * Runs in a test node: whatever the engine makes (bridges, rules, mounts, containers) is in namespaces of its own and ends with it, also
 * when the process that started it is killed.
 */
export async function startEngine(imageArchives: string[]): Promise<{ engine: Engine; stop: () => Promise<void> }> {
  const node = await startTestNode();
  const socket = join(node.folder, 'docker.sock');
  const flags = [
    `--host=unix://${socket}`,
    '--data-root=/var/lib/docker',
    '--exec-root=/run/docker',
    '--pidfile=/run/docker.pid',
    `--bip=${node.network.podCidr.replace('.0/', '.1/')}`,
    '--storage-driver=overlay2',
    // whoever starts this may not be allowed to lower it
    '--oom-score-adjust=0',
  ];
  let dockerd: NodeProgram | undefined;
  const stop = async (): Promise<void> => {
    dockerd?.leave();
    await node.stop();
  };
  await using dispatcher = closing(new Agent({ connect: { socketPath: socket } }));
  try {
    dockerd = await NodeProgram.start(node, 'dockerd', ['dockerd', ...flags], 'system');
    await dockerd.until(async () => {
      const answer = await request('http://docker/_ping', { dispatcher: dispatcher.agent, headersTimeout: 2_000 });
      return (await answer.body.text()) === 'OK';
    }, READY_LIMIT_MS);
    for (const archive of imageArchives) await load(archive, dispatcher.agent);
    const folder = join(node.folder, 'shared');
    await mkdir(folder);
    return { engine: { folder, socket, host: node.network.nodeIp, machine: node.network.hostIp }, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function load(archive: string, dispatcher: Agent): Promise<void> {
  const file = createReadStream(archive);
  await once(file, 'open');
  const { statusCode, body } = await request('http://docker/images/load?quiet=1', {
    dispatcher,
    method: 'POST',
    headers: { 'content-type': 'application/x-tar' },
    body: file,
    headersTimeout: LOAD_LIMIT_MS,
    bodyTimeout: LOAD_LIMIT_MS,
  });
  const said = await body.text();
  if (statusCode !== 200 || said.includes('"error"')) throw new Error(`${archive} cannot be loaded: ${said}`);
}

function closing(agent: Agent): AsyncDisposable & { agent: Agent } {
  return { agent, [Symbol.asyncDispose]: () => agent.close() };
}
