import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, lstat, mkdir, readdir, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MERGED_FOLDERS = ['bin', 'sbin', 'lib', 'lib64'];
const SKIPPED = /^\/(usr\/share\/(doc|man|info|locale|lintian|bug)|\.$)/;

/** A root folder from the files of Debian packages that are installed here, for machines that reach no image registry. */
export async function makeRootfs(folder: string, packages: string[]): Promise<void> {
  for (const name of MERGED_FOLDERS) {
    await mkdir(join(folder, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(folder, name));
  }
  for (const name of ['tmp', 'etc', 'run', 'proc', 'sys', 'dev', 'root', 'var/tmp']) {
    await mkdir(join(folder, name), { recursive: true });
  }
  const files = await existing(await filesOf(await withDependencies(packages)));
  const copy = `tar -C / -cf - --no-recursion --null --verbatim-files-from -T - | tar -C "$1" -xf - --keep-directory-symlink`;
  const child = spawn('sh', ['-c', copy, 'sh', folder], { stdio: ['pipe', 'ignore', 'inherit'] });
  child.stdin.end(files.map((path) => `.${path}`).join('\0'));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`copying the files of ${packages.join(', ')} failed`);
  await writeFile(join(folder, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nnonroot:x:65532:65532::/tmp:/bin/false\n');
  await writeFile(join(folder, 'etc/group'), 'root:x:0:\nnonroot:x:65532:\n');
  await chmod(join(folder, 'tmp'), 0o1777);
  await run('ldconfig', ['-r', folder]);
  // inode numbers: it would be another one each time
  await rm(join(folder, 'var/cache/ldconfig'), { recursive: true, force: true });
}

/** Node as an image of its makers has it: in /usr/local, with npm. */
export async function addNode(folder: string, nodePath: string, npmFolder: string): Promise<void> {
  await mkdir(join(folder, 'usr/local/bin'), { recursive: true });
  await copyFile(nodePath, join(folder, 'usr/local/bin/node'));
  await cp(npmFolder, join(folder, 'usr/local/lib/node_modules/npm'), { recursive: true });
  await symlink('../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm'));
}

/** Java on the PATH, which a package's own script sees to when it is installed. */
export async function linkJava(folder: string): Promise<void> {
  const machines = await readdir(join(folder, 'usr/lib/jvm')).catch(() => []);
  const machine = machines.find((name) => /^java-\d+-openjdk-/.test(name));
  if (machine === undefined)
    throw new Error('no Java among the files of its packages: install openjdk-17-jdk-headless');
  const home = join('usr/lib/jvm', machine, 'bin');
  for (const program of ['java', 'javac', 'jar', 'jlink']) {
    if (existsSync(join(folder, home, program))) {
      await symlink(join('/', home, program), join(folder, 'usr/bin', program));
    }
  }
}

/** The folder of the npm that is on the PATH. */
export async function findNpm(): Promise<string> {
  const { stdout } = await run('sh', ['-c', 'command -v npm']);
  return dirname(dirname(await realpath(stdout.trim())));
}

/** Names with versions: what is made from them is the same as long as this is. */
export async function versionsOf(packages: string[]): Promise<string> {
  const { stdout } = await run('dpkg-query', [
    '-W',
    '-f',
    '${Package} ${Version}\n',
    ...(await withDependencies(packages)),
  ]);
  return stdout;
}

async function withDependencies(packages: string[]): Promise<string[]> {
  const found = new Set<string>();
  const open = [...packages];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (found.has(name)) continue;
    const fields = '${db:Status-Status},${Pre-Depends},${Depends}';
    const { stdout } = await run('dpkg-query', ['-W', '-f', fields, name]).catch(() => ({ stdout: '' }));
    const [status, ...clauses] = stdout.split(/[,|]/);
    // an alternative, or a virtual package: whoever is installed for it is there by another name
    if (status !== 'installed') continue;
    found.add(name);
    for (const clause of clauses) {
      const [dependency = ''] = clause.trim().split(/[\s:(]/);
      // what only configures packages is not needed by programs
      if (dependency !== '' && !/^(debconf|dpkg|perl|init-system|media-types)/.test(dependency)) open.push(dependency);
    }
  }
  return [...found].sort();
}

async function filesOf(packages: string[]): Promise<string[]> {
  const { stdout } = await run('dpkg', ['-L', ...packages], { maxBuffer: 64 * 1024 * 1024 });
  const paths = stdout.split('\n').filter((path) => path.startsWith('/') && !SKIPPED.test(path));
  return [...new Set(paths)].sort();
}

/** The roots of merged folders aside, which are links; files that this machine's owner removed do not matter. */
async function existing(paths: string[]): Promise<string[]> {
  const kept: string[] = [];
  for (const path of paths) {
    if (MERGED_FOLDERS.includes(path.slice(1))) continue;
    if ((await lstat(path).catch(() => undefined)) !== undefined) kept.push(path);
  }
  return kept;
}
