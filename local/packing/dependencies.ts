import { randomUUID } from 'node:crypto';
import { access, copyFile, mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import type { PresentRuntime } from '@warmpool/runtime-agent/runtimes.ts';
import { isErrno } from '../errors.ts';
import { removeFolder } from '../remove-folder.ts';
import { installJars } from './java.ts';
import { runTool } from './run-tool.ts';
import { hashFiles } from './source-files.ts';

export interface InstallDeps {
  cacheDir: string;
  env: Readonly<Record<string, string | undefined>>;
}

interface Installer {
  /** Files that say which packages, all of them in the function's folder. */
  inputs: readonly string[];
  install(folder: string, runtime: PresentRuntime, env: InstallDeps['env']): Promise<void>;
}

/**
 * What a lockfile turns a folder into, by runtime. None runs code of a package: npm with --ignore-scripts, pip with wheels only, Maven with
 * one goal.
 * Python packages go to the root of the archive, where the interpreter looks for modules first.
 */
const INSTALLERS: Readonly<Record<string, Installer>> = {
  nodejs: {
    inputs: ['package.json', 'package-lock.json'],
    install: (folder, _runtime, env) =>
      runTool({
        program: 'npm',
        args: ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder],
        cwd: folder,
        env,
        remedy: 'it comes with Node.js',
      }),
  },
  python: {
    inputs: ['requirements.txt'],
    async install(folder, runtime, env) {
      const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check'];
      const exactly = ['--require-hashes', '--only-binary', ':all:', '--no-compile'];
      await runTool({
        program: runtime.command[0] ?? 'python3',
        args: [...pip, ...exactly, '--target', folder, '--requirement', path.join(folder, 'requirements.txt')],
        cwd: folder,
        env,
        remedy: 'install it (Debian and Ubuntu: apt install python3-pip)',
      });
      // scripts with this machine's interpreter in their first line
      await removeFolder(path.join(folder, 'bin'));
    },
  },
  java: {
    inputs: ['pom.xml', 'dependencies.sha256'],
    install: (folder, _runtime, env) => installJars(folder, env),
  },
};

/** The folder with the installed packages, from the cache when the same lockfile was installed before; undefined without a lockfile. */
export async function installDependencies(
  functionFolder: string,
  files: readonly string[],
  runtime: PresentRuntime,
  { cacheDir, env }: InstallDeps,
): Promise<string | undefined> {
  const installer = INSTALLERS[runtime.name];
  if (installer === undefined || !installer.inputs.every((input) => files.includes(input))) return undefined;
  const salt = [runtime.name, runtime.version, process.platform, process.arch];
  const installed = path.join(cacheDir, 'dependencies', await hashFiles(functionFolder, installer.inputs, salt));
  await buildOnce(installed, async (folder) => {
    for (const input of installer.inputs) await copyFile(path.join(functionFolder, input), path.join(folder, input));
    await installer.install(folder, runtime, env);
  });
  return installed;
}

/** Makes `folder` appear whole or not at all, also when several programs make it at once. */
export async function buildOnce(folder: string, build: (partial: string) => Promise<void>): Promise<void> {
  if (await isThere(folder)) return;
  const partial = `${folder}.${randomUUID()}.part`;
  try {
    await mkdir(partial, { recursive: true });
    await build(partial);
    await rename(partial, folder);
  } catch (error) {
    await removeFolder(partial);
    // somebody else was first
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

async function isThere(folder: string): Promise<boolean> {
  try {
    await access(folder);
    return true;
  } catch {
    return false;
  }
}
