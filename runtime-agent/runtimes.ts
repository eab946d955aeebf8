import { execFile } from 'node:child_process';
import { access, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runtimeManifestSchema } from '@warmpool/protocol/runtime-agent-api.ts';
import type { RuntimeManifest } from '@warmpool/protocol/runtime-agent-api.ts';

const PROBE_TIMEOUT_MS = 10_000;

export interface PresentRuntime {
  name: string;
  version: string;
  /** What starts one runtime-agent process, every path absolute. */
  command: string[];
}
export interface MissingRuntime {
  name: string;
  /** Why the runtime cannot be started here, in words. */
  missing: string;
}
export type RuntimeDescription = PresentRuntime | MissingRuntime;

export const BOOTSTRAP_FOLDER = fileURLToPath(new URL('bootstrap', import.meta.url));

/** Every runtime that has a manifest under `folder`, in the order of their folders' names. */
export async function findRuntimes(folder: string = BOOTSTRAP_FOLDER): Promise<RuntimeDescription[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(folder, entry.name));
  const withManifest = await Promise.all(folders.map(async (each) => ((await hasManifest(each)) ? [each] : [])));
  return Promise.all(withManifest.flat().sort().map(describeRuntime));
}

/** Reads one manifest and runs its probe. Throws only when the manifest itself is wrong. */
export async function describeRuntime(folder: string): Promise<RuntimeDescription> {
  const manifest = await readManifest(folder);
  const [program = '', ...args] = resolveWords(manifest.probe, folder);
  const { output, failure } = await run(program, args);
  if (failure !== undefined) return { name: manifest.name, missing: failure };
  const found = new RegExp(manifest.versionPattern).exec(output);
  const version = found?.[1];
  if (version === undefined) {
    const missing = `${program} answered ${JSON.stringify(output.trim())}, which does not match ${manifest.versionPattern}`;
    return { name: manifest.name, missing };
  }
  const [named = '', ...rest] = resolveWords(manifest.command, folder);
  // what is on the PATH may be a wrapper, which costs every boot and changes the environment
  return { name: manifest.name, version, command: [found?.groups?.['executable'] ?? named, ...rest] };
}

async function readManifest(folder: string): Promise<RuntimeManifest> {
  const file = path.join(folder, 'runtime.json');
  const text = await readFile(file, 'utf8');
  try {
    return runtimeManifestSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new Error(`${file} is not a runtime manifest: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** `{node}` is the Node that runs this program; a word that names a file (`main.mjs`) is that file of the folder. */
function resolveWords(words: string[], folder: string): string[] {
  return words.map((word, index) => {
    if (word === '{node}') return process.execPath;
    const namesFile = index > 0 && /^[\w./-]+\.[A-Za-z]\w*$/.test(word) && !word.startsWith('-');
    return namesFile && !path.isAbsolute(word) ? path.join(folder, word) : word;
  });
}

function run(program: string, args: string[]): Promise<{ output: string; failure?: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: PROBE_TIMEOUT_MS }, (error, stdout, stderr) => {
      const output = stdout + stderr;
      if (error === null) return resolve({ output });
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return resolve({ output, failure: `${program} not found: it is not installed or not on the PATH` });
      }
      const said = stderr.trim().split('\n').at(-1);
      if (said !== undefined && said !== '' && error.killed !== true) return resolve({ output, failure: said });
      const how = error.killed === true ? `gave no answer within ${PROBE_TIMEOUT_MS} ms` : error.message.trim();
      resolve({ output, failure: `${program} cannot be run: ${how}` });
    });
  });
}

async function hasManifest(folder: string): Promise<boolean> {
  try {
    await access(path.join(folder, 'runtime.json'));
    return true;
  } catch {
    return false;
  }
}
