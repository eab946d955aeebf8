import type { Logger } from 'pino';

const DRAIN_LIMIT_MS = 10_000;

export interface Lifecycle {
  log: Logger;
  /** Ends what is in flight. */
  drain: () => Promise<void>;
  /** Gives back sockets, threads and files. */
  close: () => Promise<void>;
}

/** SIGTERM and SIGINT drain, then exit 0; a second one exits at once. */
export function endOnSignals({ log, drain, close }: Lifecycle): void {
  let isEnding = false;
  const end = async (signal: string): Promise<void> => {
    if (isEnding) process.exit(1);
    isEnding = true;
    log.info({ signal }, 'draining');
    setTimeout(() => process.exit(0), DRAIN_LIMIT_MS + 1_000).unref();
    await Promise.race([drain(), new Promise((resolve) => setTimeout(resolve, DRAIN_LIMIT_MS))]);
    await close();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      end(signal).catch((error: unknown) => {
        log.error({ err: error }, 'draining failed');
        process.exit(1);
      });
    });
  }
}

/** Standard input is a pipe whose other end only the parent holds: its end is the parent's end, also after `kill -9`. */
export function endWithParent(): void {
  process.stdin.resume();
  process.stdin.once('end', () => process.exit(0)).once('error', () => process.exit(0));
}
