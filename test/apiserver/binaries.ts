import { execFile } from 'node:child_process';
import { access, constants, mkdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

// Without these a program of Kubernetes takes itself for v0.0.0 and turns features off.
const KUBERNETES = {
  version: '1.35.4',
  folder: 'kubernetes',
  flags: ['gitVersion=v1.35.4', 'gitMajor=1', 'gitMinor=35'].map((flag) => `-X k8s.io/component-base/version.${flag}`),
} as const;

/** Pinned again, with every checksum, in `tools/<folder>/go.sum`. */
const BINARIES = {
  etcd: { version: '3.6.16', folder: 'etcd', module: 'go.etcd.io/etcd/server/v3', flags: [] },
  'kube-apiserver': { ...KUBERNETES, module: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  kubectl: { ...KUBERNETES, module: 'k8s.io/kubernetes/cmd/kubectl' },
} as const;

export type BinaryName = keyof typeof BINARIES;
export type Binary = { path: string } | { missing: string };

const BUILD_LIMIT_MS = 20 * 60_000;
const run = promisify(execFile);

/**
 * A test tool by name: from `$KUBEBUILDER_ASSETS`, from the user's cache folder, or built once into that. The cache is shared by every
 * checkout and keyed by version, so nothing is built twice.
 */
export async function findOrBuild(name: BinaryName, env: NodeJS.ProcessEnv): Promise<Binary> {
  const { version, folder, module, flags } = BINARIES[name];
  const asset = env['KUBEBUILDER_ASSETS'] && join(env['KUBEBUILDER_ASSETS'], name);
  if (asset && (await isExecutable(asset))) return { path: asset };
  const cache = join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'warmpool', 'bin');
  const path = join(cache, `${name}-${version}`);
  if (await isExecutable(path)) return { path };
  const go = await findGo(env);
  if (go === undefined) return { missing: `${name} ${version} is not in the cache, and go was not found to build it` };

  await mkdir(cache, { recursive: true });
  const unfinished = join(cache, `.${name}-${version}.${process.pid}`);
  const ldflags = ['-s', '-w', ...flags].join(' ');
  const build = ['build', '-trimpath', '-buildvcs=false', `-ldflags=${ldflags}`, '-o', unfinished, module];
  process.stdout.write(`building ${name} ${version}; this takes minutes the first time\n`);
  try {
    await run('nice', ['-n', '10', go, ...build], {
      cwd: join(import.meta.dirname, 'tools', folder),
      env: { ...env, CGO_ENABLED: '0' },
      timeout: BUILD_LIMIT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    // Atomic: two runs that build at once both end with a whole file.
    await rename(unfinished, path);
    return { path };
  } finally {
    await rm(unfinished, { force: true });
  }
}

async function findGo(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, 'go');
    if (await isExecutable(path)) return path;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
