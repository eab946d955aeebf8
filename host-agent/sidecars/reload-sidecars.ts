import type { PodUid } from '@warmpool/protocol/fields.ts';
import type { HostLoadRequest, SidecarLoad } from '@warmpool/protocol/host-agent-api.ts';
import type { Clock } from '../clock.ts';
import { hostError } from '../errors.ts';
import { postReload } from './post-reload.ts';
import { SidecarFolder } from './sidecar-folder.ts';

export interface SidecarDeps {
  clock: Clock;
  /** Where the folders of a pod's sidecars are, each by the name of its container. */
  folderOf: (podUid: PodUid, name: string) => string;
}

type Service = HostLoadRequest['service'];

/** A sidecar may still be starting: first looked for often, then less so. */
const POLL_MS = [1, 1, 2, 2, 5, 5, 10];
const SLOW_POLL_MS = 20;
/** What the two ways of a reload have in the sidecar's folder. */
const SOCKET = 'reload.sock';
const PIPE = 'reload';
const DONE = 'reloaded';
const FAILED = 'failed';

/**
 * Tells every sidecar of a pod whose it is from now on, all at once, and waits until each has said that it is reloaded. They get the
 * service metadata of the claim and nothing else. Rejects with the first that fails, in words that name it.
 */
export async function reloadSidecars(
  deps: SidecarDeps,
  { grant, service, deadlineUnixMs }: Pick<HostLoadRequest, 'grant' | 'service' | 'deadlineUnixMs'>,
  sidecars: readonly SidecarLoad[],
  signal: AbortSignal,
): Promise<void> {
  const leftMs = deadlineUnixMs - deps.clock.now();
  const reloads = sidecars.map(async (sidecar) => {
    const wait = new Wait(deps.clock, Math.min(sidecar.timeoutMs, leftMs), signal);
    try {
      await reload(deps.folderOf(grant.podUid, sidecar.name), sidecar, service, wait);
    } catch (error) {
      throw hostError.sidecarFailed(grant.podUid, sidecar.name, error as Error);
    }
  });
  await Promise.all(reloads);
}

async function reload(path: string, sidecar: SidecarLoad, service: Service, wait: Wait): Promise<void> {
  const folder = await wait.until('has no folder: its container did not start', () => SidecarFolder.open(path));
  try {
    const json = `${JSON.stringify(service)}\n`;
    folder.write('service.json', json);
    folder.write('service.txt', asLines(service));
    switch (sidecar.reload) {
      case 'HTTP':
        return await reloadByHttp(folder, json, wait);
      case 'Script':
        return await reloadByScript(folder, wait);
    }
  } finally {
    folder.close();
  }
}

async function reloadByHttp(folder: SidecarFolder, json: string, wait: Wait): Promise<void> {
  await wait.until(`does not listen on ${SOCKET}`, () =>
    folder.withSocket(SOCKET, (path) =>
      postReload(path, json, wait.signal, wait.leftMs).catch((error: NodeJS.ErrnoException) => {
        // a socket that is not listened on yet, or that a process left behind when it ended
        if (error.code !== 'ECONNREFUSED') throw error;
        return undefined;
      }),
    ),
  );
}

async function reloadByScript(folder: SidecarFolder, wait: Wait): Promise<void> {
  folder.remove(DONE);
  folder.remove(FAILED);
  await wait.until(`does not read from the pipe "${PIPE}"`, () => folder.signalPipe(PIPE) || undefined);
  await wait.until(`has made neither "${DONE}" nor "${FAILED}" after it was told to reload`, () => {
    const failed = folder.words(FAILED);
    // empty: it is there, and about to be written
    if (failed !== undefined && failed !== '') throw new Error(`could not reload: ${failed}`);
    return folder.words(DONE);
  });
}

/** For scripts and HAProxy maps: a key, a space, the value, one entry a line whatever the value holds. */
function asLines(service: Service): string {
  return Object.entries(service)
    .map(([key, value]) => `${key} ${value.replaceAll(/\p{Cc}/gu, ' ')}\n`)
    .join('');
}

/** Asks again until there is an answer, the time is over, or nobody waits any more. */
class Wait {
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #limitMs: number;
  readonly #untilMs: number;

  constructor(clock: Clock, limitMs: number, signal: AbortSignal) {
    this.#clock = clock;
    this.#limitMs = limitMs;
    this.#untilMs = clock.monotonic() + limitMs;
    this.signal = signal;
  }

  get leftMs(): number {
    return Math.max(1, this.#untilMs - this.#clock.monotonic());
  }

  async until<T>(missing: string, ask: () => T | undefined | Promise<T | undefined>): Promise<T> {
    for (let asked = 0; ; asked++) {
      this.signal.throwIfAborted();
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (this.#clock.monotonic() >= this.#untilMs) throw new Error(`${missing} (within ${this.#limitMs} ms)`);
      await this.#clock.sleep(POLL_MS[asked] ?? SLOW_POLL_MS);
    }
  }
}
