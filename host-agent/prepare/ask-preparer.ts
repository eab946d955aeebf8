import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import type { PreparerRun } from './prepared-form.ts';
import { gather, parseForm } from './prepared-form.ts';

/** Containers of one pod start one after the other, and one that crashed is started again by the kubelet. */
const MAX_ATTEMPTS = 10;
const RETRY_MS = 1_250;

/**
 * One run by a preparer that serves a socket (`serve_prepare.py`): the tree's path as a line, later `s` and `c` for stop and continue; the
 * answer is the output, and behind it one zero byte that says that it is whole.
 */
export function askPreparer(socketPath: string, treePath: string): PreparerRun {
  const given = new AbortController();
  let connection: Socket | undefined;
  let isPaused = false;
  const say = (isToPause: boolean): void => {
    if (isToPause === isPaused) return;
    isPaused = isToPause;
    connection?.write(isToPause ? 's' : 'c');
  };
  const end = (): void => {
    given.abort(new Error(`the preparer of ${socketPath} was ended`));
    connection?.destroy();
  };
  const ask = async (): Promise<Buffer> => {
    connection = await connected(socketPath, given.signal);
    connection.write(`${treePath}\n${isPaused ? 's' : ''}`);
    return gather(connection, endOf(connection), end);
  };
  return {
    pause: () => say(true),
    resume: () => say(false),
    end,
    form: ask().then((output) => {
      if (output.at(-1) !== 0) throw new Error(`the preparer of ${socketPath} broke off`);
      return parseForm(output.subarray(0, -1));
    }),
  };
}

async function connected(socketPath: string, signal: AbortSignal): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    const socket = connect(socketPath);
    try {
      await once(socket, 'connect', { signal });
      return socket;
    } catch (error) {
      socket.destroy();
      if (signal.aborted) throw signal.reason;
      if (attempt >= MAX_ATTEMPTS) throw new Error(`the preparer of ${socketPath} cannot be reached`, { cause: error });
    }
    await sleep(backoffMs(attempt, RETRY_MS, RETRY_MS, Math.random), undefined, { signal, ref: false });
  }
}

function endOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    // what is missing at its end says the rest
    socket.on('error', () => {});
    socket.once('close', () => resolve());
  });
}
