import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../config-error.ts';

/** As in a Secret that the operator fills and the kubelet mounts. */
export interface TlsFiles {
  cert: string;
  key: string;
  /** Who may have signed the operator's certificate. */
  ca: string;
  /** Signs load grants; shared with the operator. */
  grantKey: Buffer;
}

/** A Secret that the operator has yet to fill appears in the pod within about a minute. */
const FIRST_LIMIT_MS = 180_000;
const FIRST_RETRY_MS = 250;
/** The kubelet swaps the whole folder at once, some time within a minute after the Secret has changed. */
const LOOK_EVERY_MS = 10_000;

/** Waits for the files when the Secret is still empty. */
export async function firstTlsFiles(folder: string, limitMs = FIRST_LIMIT_MS): Promise<TlsFiles> {
  const giveUpAtMs = performance.now() + limitMs;
  for (;;) {
    try {
      return await readTlsFiles(folder);
    } catch (error) {
      if (performance.now() > giveUpAtMs)
        throw new ConfigError(
          `--tls-dir: ${folder} is not complete after ${limitMs / 1000} s (${(error as Error).message}); the operator writes it into this namespace's Secret: look at its log`,
        );
    }
    await delay(FIRST_RETRY_MS);
  }
}

/** Tells about every change until the returned function is called; what cannot be read yet is read the next time. */
export function followTlsFiles(
  folder: string,
  first: TlsFiles,
  onChange: (files: TlsFiles) => void,
  onProblem: (error: unknown) => void,
  everyMs = LOOK_EVERY_MS,
): () => void {
  let known = JSON.stringify(first);
  const timer = setInterval(() => {
    readTlsFiles(folder)
      .then((files) => {
        const text = JSON.stringify(files);
        if (text === known) return;
        onChange(files);
        known = text;
      })
      .catch(onProblem);
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}

async function readTlsFiles(folder: string): Promise<TlsFiles> {
  const read = (name: string): Promise<Buffer> => readFile(join(folder, name));
  const [cert, key, ca, grantKey] = await Promise.all(['tls.crt', 'tls.key', 'ca.crt', 'grant.key'].map(read));
  if (cert === undefined || key === undefined || ca === undefined || grantKey === undefined || cert.length === 0)
    throw new Error('a file is empty');
  return { cert: cert.toString('utf8'), key: key.toString('utf8'), ca: ca.toString('utf8'), grantKey };
}
