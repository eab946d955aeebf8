import { existsSync, watch } from 'node:fs';
import path from 'node:path';

const POLL_MS = 20;

/** Calls `onAppear` once when `name` is in `folder`, at once if it is there already. The returned function stops looking. */
export function whenFileAppears(folder: string, name: string, onAppear: () => void): () => void {
  const file = path.join(folder, name);
  let stop = (): void => undefined;
  const check = (): void => {
    if (!existsSync(file)) return;
    stop();
    onAppear();
  };
  stop = observe(folder, check);
  check();
  return () => stop();
}

/** Falls back to looking every few milliseconds where the system has no file watches left to give. */
function observe(folder: string, check: () => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const poll = (): void => {
    timer ??= setInterval(check, POLL_MS);
  };
  let close = (): void => undefined;
  try {
    const watcher = watch(folder, check);
    watcher.on('error', poll);
    close = () => watcher.close();
  } catch {
    poll();
  }
  return () => {
    clearInterval(timer);
    close();
  };
}
