import { createHash, randomUUID } from 'node:crypto';
import { copyFile, cp, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { BOOTSTRAP_FOLDER } from '@warmpool/runtime-agent/runtimes.ts';
import type { PresentRuntime, RuntimeDescription } from '@warmpool/runtime-agent/runtimes.ts';
import { digestSchema } from '@warmpool/protocol/fields.ts';
import type { Digest } from '@warmpool/protocol/fields.ts';
import { isErrno } from './errors.ts';
import { matchesVersion } from './kubelet/launch-plan.ts';
import { archiveTree } from './packing/archive.ts';
import { buildOnce, installDependencies } from './packing/dependencies.ts';
import { loadFunctionFile } from './packing/function-file.ts';
import type { FunctionFile } from './packing/function-file.ts';
import { compileJava } from './packing/java.ts';
import { ToolError, runTool } from './packing/run-tool.ts';
import { hashFiles, listFiles } from './packing/source-files.ts';

/** Part of every cache key: to be raised when the same input is packed into other bytes. */
const PACKING_VERSION = '3';

/** By runtime, what writes the digests of the packages, so that a pool that holds one of them in memory can tell at load without reading it. */
const PACKAGE_LISTERS: Readonly<Record<string, readonly string[]>> = {
  nodejs: [path.join(BOOTSTRAP_FOLDER, 'nodejs/held/contents.mjs')],
  python: ['-B', path.join(BOOTSTRAP_FOLDER, 'python/warmpool_agent/held/contents.py')],
};

export interface PackDeps {
  runtimes: readonly RuntimeDescription[];
  /** For npm and pip: registries, proxies, the PATH. */
  env: Readonly<Record<string, string | undefined>>;
}

export interface PackFolders {
  /** Each folder in it with a `function.yaml` is a function. */
  functionsDir: string;
  /** Installed packages and finished archives; outlives runs. */
  cacheDir: string;
  /** The object store that claims name keys of. */
  storeDir: string;
}

export interface PackedFunction {
  function: FunctionFile;
  key: string;
  digest: Digest;
  sizeBytes: number;
  format: FunctionFile['format'];
  /** The tree that is in the archive, for starting the same code without a pool. */
  treeDir: string;
}

export interface SkippedFunction {
  name: string;
  /** One line: what is missing, and how to get it. */
  reason: string;
}

const archiveFactsSchema = z.object({ digest: digestSchema, sizeBytes: z.int() });

/** Packs every function of `functionsDir` into the store. What this machine cannot pack is skipped, with the reason. */
export async function packFunctions(
  folders: PackFolders,
  deps: PackDeps,
): Promise<{ packed: PackedFunction[]; skipped: SkippedFunction[] }> {
  const packed: PackedFunction[] = [];
  const skipped: SkippedFunction[] = [];
  const entries = await readdir(folders.functionsDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  await Promise.all(
    names.map(async (name) => {
      try {
        packed.push(await packFunction(path.join(folders.functionsDir, name), folders, deps));
      } catch (error) {
        if (!(error instanceof ToolError)) throw error;
        skipped.push({ name, reason: error.message });
      }
    }),
  );
  const byName = (a: string, b: string): number => a.localeCompare(b, 'en');
  return {
    packed: packed.sort((a, b) => byName(a.function.name, b.function.name)),
    skipped: skipped.sort((a, b) => byName(a.name, b.name)),
  };
}

/** @throws ToolError when this machine cannot pack it. */
export async function packFunction(
  folder: string,
  folders: Omit<PackFolders, 'functionsDir'>,
  deps: PackDeps,
): Promise<PackedFunction> {
  const file = await loadFunctionFile(folder);
  const runtime = presentRuntime(file, deps.runtimes);
  const files = await listFiles(folder);
  const { format } = file;
  const salt = [PACKING_VERSION, format, runtime.name, runtime.version, process.platform, process.arch];
  const inputHash = await hashFiles(folder, files, salt);
  const treeDir = path.join(folders.cacheDir, 'trees', inputHash);
  const archive = path.join(folders.cacheDir, 'archives', `${inputHash}.${format}`);

  await buildTree(treeDir, folder, files, runtime, folders.cacheDir, deps.env);
  const facts = (await readFacts(archive)) ?? (await writeArchive(archive, await archiveTree(treeDir, format)));
  const key = `functions/${file.name}/${facts.digest.slice('sha256:'.length)}.${format}`;
  await store(archive, path.join(folders.storeDir, key), facts.sizeBytes);
  return { function: file, key, format, treeDir, ...facts };
}

function presentRuntime({ runtime }: FunctionFile, runtimes: readonly RuntimeDescription[]): PresentRuntime {
  const named = runtimes.filter(({ name }) => name === runtime.name);
  for (const each of named) {
    if (!('missing' in each) && matchesVersion(each.version, runtime.version)) return each;
  }
  const why = named.map((each) => ('missing' in each ? each.missing : `there is ${each.name} ${each.version}`));
  throw new ToolError(`needs ${runtime.name} ${runtime.version}: ${why.join('; ') || 'no such runtime is known'}`);
}

function buildTree(
  treeDir: string,
  folder: string,
  files: readonly string[],
  runtime: PresentRuntime,
  cacheDir: string,
  env: PackDeps['env'],
): Promise<void> {
  return buildOnce(treeDir, async (tree) => {
    const dependencies = await installDependencies(folder, files, runtime, { cacheDir, env });
    if (dependencies !== undefined) await copyPackages(dependencies, tree);
    for (const name of files) {
      await mkdir(path.dirname(path.join(tree, name)), { recursive: true });
      await copyFile(path.join(folder, name), path.join(tree, name));
    }
    if (runtime.name === 'java') await compileJava(tree, env);
    if (runtime.name === 'python') await compilePython(tree, runtime, env);
    if (runtime.name === 'python' || dependencies !== undefined) await listPackages(tree, runtime, env);
  });
}

/** Without what npm writes for itself: links to programs, and where each package came from. */
function copyPackages(from: string, to: string): Promise<void> {
  const leftOut = new Set(['.bin', '.package-lock.json']);
  return cp(from, to, { recursive: true, filter: (source) => !leftOut.has(path.basename(source)) });
}

/** Code is mounted read-only, so bytecode has to be there already, and must not ask for the source's time: it has none. */
function compilePython(tree: string, runtime: PresentRuntime, env: PackDeps['env']): Promise<void> {
  return runTool({
    program: runtime.command[0] ?? 'python3',
    args: ['-m', 'compileall', '-q', '--invalidation-mode', 'unchecked-hash', '.'],
    cwd: tree,
    env,
    remedy: 'install Python 3',
  });
}

async function listPackages(tree: string, runtime: PresentRuntime, env: PackDeps['env']): Promise<void> {
  const lister = PACKAGE_LISTERS[runtime.name];
  const [program] = runtime.command;
  if (lister === undefined || program === undefined) return;
  const remedy = `install ${runtime.name} ${runtime.version}`;
  await runTool({ program, args: [...lister, tree], cwd: tree, env, remedy });
}

async function readFacts(archive: string): Promise<z.output<typeof archiveFactsSchema> | undefined> {
  try {
    const facts = archiveFactsSchema.parse(JSON.parse(await readFile(`${archive}.json`, 'utf8')));
    return (await stat(archive)).size === facts.sizeBytes ? facts : undefined;
  } catch {
    return undefined;
  }
}

/** The facts come last: an archive without them is made again. */
async function writeArchive(archive: string, bytes: Buffer): Promise<z.output<typeof archiveFactsSchema>> {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const facts = archiveFactsSchema.parse({ digest, sizeBytes: bytes.length });
  await appear(archive, (partial) => writeFile(partial, bytes));
  await appear(`${archive}.json`, (partial) => writeFile(partial, JSON.stringify(facts)));
  return facts;
}

/** A key holds the digest, so an object that is there with the right size is the right one. */
async function store(archive: string, object: string, sizeBytes: number): Promise<void> {
  try {
    if ((await stat(object)).size === sizeBytes) return;
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  await appear(object, (partial) => copyFile(archive, partial));
}

async function appear(file: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${file}.${randomUUID()}.part`;
  await mkdir(path.dirname(file), { recursive: true });
  try {
    await write(partial);
    await rename(partial, file);
  } finally {
    await rm(partial, { force: true });
  }
}
