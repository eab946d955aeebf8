import { execFile } from 'node:child_process';
import { access, constants, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** Programs that one `go build` makes from one folder of `tools/`, which pins them again with every checksum. */
interface Toolset {
  version: string;
  folder: string;
  flags: string[];
  /** By the name of what the build writes for each. */
  packages: Record<string, string>;
}

const TOOLSETS = {
  etcd: { version: '3.6.16', folder: 'etcd', flags: [], packages: { etcd: 'go.etcd.io/etcd/server/v3' } },
  kubernetes: {
    version: '1.35.4',
    folder: 'kubernetes',
    // Without these they take themselves for v0.0.0 and turn features off.
    flags: ['gitVersion=v1.35.4', 'gitMajor=1', 'gitMinor=35'].map(
      (flag) => `-X k8s.io/component-base/version.${flag}`,
    ),
    packages: {
      'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
      'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
      'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
      'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
      kubectl: 'k8s.io/kubernetes/cmd/kubectl',
      kubelet: 'k8s.io/kubernetes/cmd/kubelet',
    },
  },
  'kube-router': {
    version: '2.1.0',
    folder: 'kube-router',
    flags: [],
    packages: { 'kube-router': 'github.com/cloudnativelabs/kube-router/v2/cmd/kube-router' },
  },
  pause: { version: '1', folder: 'pause', flags: [], packages: { pause: 'warmpool.dev/test/pause' } },
} as const satisfies Record<string, Toolset>;

type KeysOf<T> = T extends unknown ? keyof T : never;
export type BinaryName = KeysOf<(typeof TOOLSETS)[keyof typeof TOOLSETS]['packages']>;
export type Binaries<Name extends BinaryName> = { paths: Record<Name, string> } | { missing: string };

const BUILD_LIMIT_MS = 20 * 60_000;
const run = promisify(execFile);

/**
 * Test tools by name: from `$KUBEBUILDER_ASSETS`, from the user's cache folder, or built once into that. The cache is shared by every
 * checkout and keyed by version, so nothing is built twice.
 */
export async function findOrBuild<Name extends BinaryName>(
  names: Name[],
  env: NodeJS.ProcessEnv,
): Promise<Binaries<Name>> {
  const cache = join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'warmpool', 'bin');
  const paths = new Map<BinaryName, string>();
  for (const toolset of Object.values<Toolset>(TOOLSETS)) {
    const unbuilt: BinaryName[] = [];
    for (const name of names.filter((name) => name in toolset.packages)) {
      const asset = env['KUBEBUILDER_ASSETS'] && join(env['KUBEBUILDER_ASSETS'], name);
      const cached = join(cache, `${name}-${toolset.version}`);
      if (asset && (await isExecutable(asset))) paths.set(name, asset);
      else {
        paths.set(name, cached);
        if (!(await isExecutable(cached))) unbuilt.push(name);
      }
    }
    if (unbuilt.length === 0) continue;
    const go = await findOnPath('go', env);
    const what = `${unbuilt.join(', ')} ${toolset.version}`;
    if (go === undefined) return { missing: `${what}: not in the cache, and go was not found to build it` };
    process.stderr.write(`building ${what}; this takes minutes the first time\n`);
    await build(go, toolset, unbuilt, cache, env);
  }
  return { paths: Object.fromEntries(paths) as Record<Name, string> };
}

async function build(
  go: string,
  { version, folder, flags, packages }: Toolset,
  names: BinaryName[],
  cache: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await mkdir(cache, { recursive: true });
  const unfinished = await mkdtemp(join(cache, `.${folder}-`));
  const modules = names.map((name) => packages[name] ?? name);
  const ldflags = ['-s', '-w', ...flags].join(' ');
  const args = ['build', '-trimpath', '-buildvcs=false', `-ldflags=${ldflags}`, '-o', `${unfinished}/`, ...modules];
  try {
    await run('nice', ['-n', '10', go, ...args], {
      cwd: join(import.meta.dirname, 'tools', folder),
      env: { ...env, CGO_ENABLED: '0' },
      timeout: BUILD_LIMIT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
    for (const [index, name] of names.entries()) {
      // go names a program after its module, less a version at the end of it
      const built = basename(modules[index]?.replace(/\/v\d+$/, '') ?? name);
      // Atomic: two runs that build at once both end with a whole file.
      await rename(join(unfinished, built), join(cache, `${name}-${version}`));
    }
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

export async function findOnPath(program: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program);
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
