import { readFile } from 'node:fs/promises';
import { ConfigError } from '../config-error.ts';

const MIN_BYTES = 16;

/** The key that operator and host-agents share, byte for byte as it is in the file. */
export async function readGrantKey(path: string): Promise<Buffer> {
  const key = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(`--grant-key-file: ${path} cannot be read (${error.code})`);
  });
  if (key.length >= MIN_BYTES) return key;
  throw new ConfigError(`--grant-key-file: the key must have at least ${MIN_BYTES} bytes`);
}
