import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { makeCertificates } from './certificates.ts';
import { freePort } from '../support/free-port.ts';
import { Child } from './child.ts';

export interface ControlPlaneAccess {
  url: string;
  /** Of a member of system:masters. */
  token: string;
  caPem: string;
}

export interface ControlPlane extends ControlPlaneAccess {
  /** For compaction and the like. */
  etcdUrl: string;
  /** Ends both processes and removes their folder; `keepLogs` leaves it and says where it is. */
  stop(options?: { keepLogs?: boolean }): Promise<void>;
}

const READY_LIMIT_MS = 60_000;

/** etcd and kube-apiserver on loopback, with RBAC, without kubelets, scheduler or controllers. */
export async function startControlPlane(binaries: { etcd: string; apiserver: string }): Promise<ControlPlane> {
  const folder = await mkdtemp(join(tmpdir(), 'warmpool-control-plane-'));
  const children: Child[] = [];
  const stop = async ({ keepLogs = false } = {}): Promise<void> => {
    for (const child of children.toReversed()) await child.stop();
    if (keepLogs) process.stderr.write(`the control plane's logs are in ${folder}\n`);
    else await rm(folder, { recursive: true, force: true });
  };
  try {
    const [etcdPort, peerPort, port] = [await freePort(), await freePort(), await freePort()];
    const etcdUrl = `http://127.0.0.1:${etcdPort}`;
    const etcdArgs = etcdFlags(join(folder, 'etcd'), etcdUrl, `http://127.0.0.1:${peerPort}`);
    const etcd = await Child.start(binaries.etcd, etcdArgs, join(folder, 'etcd.log'));
    children.push(etcd);

    const certificates = await makeCertificates(folder);
    const serving = await certificates.issue('tls', '/CN=kube-apiserver', ['IP:127.0.0.1', 'DNS:localhost']);
    const token = randomBytes(24).toString('hex');
    const tokensPath = join(folder, 'tokens.csv');
    await writeFile(tokensPath, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
    await etcd.waitUntil(async () => (await request(`${etcdUrl}/health`)).statusCode === 200, READY_LIMIT_MS);

    const apiserverArgs = apiserverFlags({ etcdUrl, port, tokensPath, ...certificates, ...serving });
    const apiserver = await Child.start(binaries.apiserver, apiserverArgs, join(folder, 'kube-apiserver.log'));
    children.push(apiserver);
    const caPem = await readFile(certificates.caPath, 'utf8');
    const url = `https://127.0.0.1:${port}`;
    const dispatcher = new Agent({ connect: { ca: caPem } });
    const headers = { authorization: `Bearer ${token}` };
    const get = async (path: string): Promise<number> => {
      const { statusCode, body } = await request(`${url}${path}`, { dispatcher, headers });
      await body.dump();
      return statusCode;
    };
    try {
      await apiserver.waitUntil(async () => (await get('/readyz')) === 200, READY_LIMIT_MS);
      // Made by the apiserver itself, a moment after it is ready.
      await apiserver.waitUntil(async () => (await get('/api/v1/namespaces/default')) === 200, READY_LIMIT_MS);
    } finally {
      await dispatcher.close();
    }
    return { url, token, caPem, etcdUrl, stop };
  } catch (error) {
    await stop({ keepLogs: true });
    throw error;
  }
}

function etcdFlags(dataFolder: string, clientUrl: string, peerUrl: string): string[] {
  return [
    `--data-dir=${dataFolder}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${clientUrl}`,
    `--advertise-client-urls=${clientUrl}`,
    `--listen-peer-urls=${peerUrl}`,
    `--initial-advertise-peer-urls=${peerUrl}`,
    `--initial-cluster=default=${peerUrl}`,
  ];
}

function apiserverFlags(from: {
  etcdUrl: string;
  port: number;
  tokensPath: string;
  certPath: string;
  keyPath: string;
  serviceAccountKeyPath: string;
  serviceAccountPublicPath: string;
}): string[] {
  return [
    `--etcd-servers=${from.etcdUrl}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    // A loopback address is refused as an endpoint of the kubernetes service.
    '--endpoint-reconciler-type=none',
    `--secure-port=${from.port}`,
    `--tls-cert-file=${from.certPath}`,
    `--tls-private-key-file=${from.keyPath}`,
    `--token-auth-file=${from.tokensPath}`,
    `--service-account-key-file=${from.serviceAccountPublicPath}`,
    `--service-account-signing-key-file=${from.serviceAccountKeyPath}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    '--service-cluster-ip-range=10.96.0.0/24',
    '--authorization-mode=Node,RBAC',
    // as in every cluster; which namespace may have such pods, Pod Security says
    '--allow-privileged=true',
    // Pods would wait for a default service account, which a controller makes.
    '--disable-admission-plugins=ServiceAccount',
    // Leases come straight from etcd, so that what it forgets is forgotten; everything else is served as in a real cluster.
    '--watch-cache-sizes=leases.coordination.k8s.io#0',
    // Compaction is done by the tests, when they mean it.
    '--etcd-compaction-interval=0',
    '--max-requests-inflight=2000',
    '--max-mutating-requests-inflight=1000',
  ];
}
