import { getuid } from 'node:process';
import { findOnPath } from '../apiserver/binaries.ts';

/** Programs of Debian packages, by package; `.ci/run` installs them where it may. */
const PROGRAMS = {
  containerd: ['containerd', 'ctr', 'containerd-shim-runc-v2'],
  runc: ['runc'],
  iptables: ['iptables', 'iptables-restore'],
  ipset: ['ipset'],
  conntrack: ['conntrack'],
  buildah: ['buildah'],
  gcc: ['cc'],
  iproute2: ['ip'],
  openssl: ['openssl'],
};
const CNI_FOLDER = '/usr/lib/cni';

/** What a test cluster needs and this machine lacks, in words; nothing when it can be started. */
export async function missingForCluster(env: NodeJS.ProcessEnv): Promise<string[]> {
  const rights = missingRights();
  if (rights.length > 0) return rights;
  const missing = await missingPrograms(PROGRAMS, env);
  const bridge = await findOnPath('bridge', { PATH: CNI_FOLDER });
  return bridge === undefined ? [...missing, `the package containernetworking-plugins (${CNI_FOLDER})`] : missing;
}

/** What a test node needs besides programs. */
export function missingRights(): string[] {
  if (process.platform !== 'linux') return ['Linux'];
  return getuid?.() === 0 ? [] : ['root, for namespaces and mounts'];
}

/** The packages of which this machine lacks a program. */
export async function missingPrograms(programs: Record<string, string[]>, env: NodeJS.ProcessEnv): Promise<string[]> {
  const missing: string[] = [];
  for (const [name, wanted] of Object.entries(programs)) {
    const found = await Promise.all(wanted.map((program) => findOnPath(program, env)));
    if (found.includes(undefined)) missing.push(`the package ${name}`);
  }
  return missing;
}
