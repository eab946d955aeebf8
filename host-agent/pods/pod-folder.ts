import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { podUidSchema } from '@warmpool/protocol/fields.ts';

/** `pod.json`, written by whoever starts pods before the pod starts. */
const podFileSchema = z.looseObject({
  podUid: podUidSchema,
  host: z.string().min(1),
  port: z.int().min(0).max(65_535),
});
export type PodFile = z.output<typeof podFileSchema>;

const terminationSchema = z.looseObject({ code: z.string().optional(), message: z.string().optional() });

/** The folder that a pod and this program share: `<pods-dir>/<podUid>/`. */
export class PodFolder {
  readonly path: string;
  readonly agentSocket: string;
  /** Of the thread that answers while user code blocks the agent; not every runtime has one. */
  readonly watchdogSocket: string;
  /** Link to the code's tree, once it has been delivered. */
  readonly codeLink: string;

  constructor(path: string) {
    this.path = path;
    this.agentSocket = join(path, 'agent.sock');
    this.watchdogSocket = join(path, 'watchdog.sock');
    this.codeLink = join(path, 'code');
  }

  /** Undefined while the file is not there or not whole. */
  async readPodFile(): Promise<PodFile | undefined> {
    return podFileSchema.safeParse(await readJson(join(this.path, 'pod.json'))).data;
  }

  /** What the process said when it ended, if it could. */
  async readTermination(): Promise<{ code: string; message: string } | undefined> {
    const said = terminationSchema.safeParse(await readJson(join(this.path, 'termination.json'))).data;
    if (said?.message === undefined && said?.code === undefined) return undefined;
    return { code: said.code ?? 'PodLost', message: said.message ?? said.code ?? '' };
  }

  async readDeliveredTree(): Promise<string | undefined> {
    return realpath(this.codeLink).catch(() => undefined);
  }
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}
