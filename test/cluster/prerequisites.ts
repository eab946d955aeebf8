import { getuid } from 'node:process';
import { findOnPath } from '../apiserver/binaries.ts';

/** Programs of Debian packages, by package; `.ci/run` installs them where it may. */
const PROGRAMS = {
  containerd: ['containerd', 'ctr', 'containerd-shim-runc-v2'],
  runc: ['runc'],
  iptables: ['iptables', 'iptables-restore'],
  conntrack: ['conntrack'],
  buildah: ['buildah'],
  gcc: ['cc'],
  iproute2: ['ip'],
  openssl: ['openssl'],
};
const CNI_FOLDER = '/usr/lib/cni';

/** What a test cluster needs and this machine lacks, in words; nothing when it can be started. */
export async function missingForCluster(env: NodeJS.ProcessEnv): Promise<string[]> {
  if (process.platform !== 'linux') return ['Linux'];
  if (getuid?.() !== 0) return ['root, for namespaces and mounts'];
  const missing: string[] = [];
  for (const [name, programs] of Object.entries(PROGRAMS)) {
    const found = await Promise.all(programs.map((program) => findOnPath(program, env)));
    if (found.includes(undefined)) missing.push(`the package ${name}`);
  }
  const bridge = await findOnPath('bridge', { PATH: CNI_FOLDER });
  return bridge === undefined ? [...missing, `the package containernetworking-plugins (${CNI_FOLDER})`] : missing;
}
