import { readlinkSync } from 'node:fs';
import { constants, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { PodFile } from './pod-file.ts';
import { podFileSchema, writePodFile } from './pod-file.ts';

/** Of the contract's `termination.json`; a runtime of somebody else's may have reasons of its own. */
const terminationSchema = z.object({ reason: z.string().min(1).max(128), message: z.string() });
const MAX_FILE_BYTES = 64 * 1024;
const MAX_MESSAGE_CHARACTERS = 4_096;

/**
 * What is known of one pod: `<pods-dir>/<podUid>/`. On a single machine the pod has its sockets right in it. A pod of a cluster cannot
 * reach it: there `volume` is a link to the volume that the pod has, and all else is this program's own.
 */
export class PodFolder {
  readonly path: string;
  /** The folder that the pod sees, by its real path. */
  readonly volumePath: string;
  readonly agentSocket: string;
  /** Of the thread that answers while user code blocks the agent; not every runtime has one. */
  readonly watchdogSocket: string;
  /** Link to the code's tree, once it has been delivered. */
  readonly codeLink: string;
  readonly #shared: string;

  private constructor(path: string, volumePath: string | undefined) {
    this.path = path;
    this.volumePath = volumePath ?? path;
    // by way of the link: a kubelet's own paths are longer than a socket's may be
    this.#shared = volumePath === undefined ? path : join(path, 'volume');
    this.agentSocket = join(this.#shared, 'agent.sock');
    this.watchdogSocket = join(this.#shared, 'watchdog.sock');
    this.codeLink = join(path, 'code');
  }

  static at(path: string): PodFolder {
    return new PodFolder(path, readLink(join(path, 'volume')));
  }

  /** Undefined while the file is not there or not whole. */
  async readPodFile(): Promise<PodFile | undefined> {
    return podFileSchema.safeParse(await readJson(join(this.path, 'pod.json'))).data;
  }

  /** Said by the pod while no user code had run in it; not asked again after a restart of this program. */
  rememberHost(file: PodFile, host: string): void {
    writePodFile(join(this.path, 'pod.json'), { ...file, host });
  }

  /** What the process said when it ended, if it could. */
  async readTermination(): Promise<{ code: string; message: string } | undefined> {
    const said = terminationSchema.safeParse(await readJson(join(this.#shared, 'termination.json'))).data;
    if (said === undefined) return undefined;
    return { code: said.reason, message: said.message.slice(0, MAX_MESSAGE_CHARACTERS) || said.reason };
  }

  async readDeliveredTree(): Promise<string | undefined> {
    return realpath(this.codeLink).catch(() => undefined);
  }
}

function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** A pod may have put anything in its folder: a link elsewhere, a pipe that nobody writes to, more than one wants to read. */
async function readJson(path: string): Promise<unknown> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await file.stat();
    if (size === 0 || size > MAX_FILE_BYTES) return undefined;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
    return JSON.parse(buffer.toString('utf8', 0, bytesRead));
  } catch {
    return undefined;
  }
}
