import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { issuerOf, type KeyPair, makeCertificates } from '../apiserver/certificates.ts';
import type { NodeNetwork } from './node/node-network.ts';

export const NODE_NAME = 'node-1';
export const APISERVER_PORT = 6443;

/** Who is who in the cluster: every program has a certificate and a kubeconfig of its own, with the names that RBAC knows. */
export interface Credentials {
  adminToken: string;
  tokensPath: string;
  caPath: string;
  caKeyPath: string;
  caPem: string;
  serviceAccountKeyPath: string;
  serviceAccountPublicPath: string;
  apiserver: KeyPair;
  /** The apiserver to the kubelet. */
  kubeletClient: KeyPair;
  kubeconfigs: Record<'admin' | 'controller-manager' | 'scheduler', string>;
  node: NodeCredentials;
}

/** Of one node's programs. */
export interface NodeCredentials {
  nodeName: string;
  caPath: string;
  kubelet: KeyPair;
  kubeconfigs: Record<'kubelet' | 'proxy', string>;
}

export async function makeCredentials(folder: string, network: NodeNetwork): Promise<Credentials> {
  await mkdir(folder, { mode: 0o700 });
  const { caPath, issue, ...keys } = await makeCertificates(folder);
  const caPem = await readFile(caPath, 'utf8');
  const adminToken = randomBytes(24).toString('hex');
  const tokensPath = join(folder, 'tokens.csv');
  await writeFile(tokensPath, `${adminToken},admin,admin,system:masters\n`, { mode: 0o600 });

  const kubeconfig = (name: string, user: object): Promise<string> =>
    writeKubeconfig(folder, network.apiserverIp, name, user);
  const asCertificate = async (name: string, subject: string): Promise<string> =>
    kubeconfig(name, asUser(await issue(name, subject)));

  return {
    ...keys,
    caPath,
    caPem,
    adminToken,
    tokensPath,
    apiserver: await issue('apiserver', '/CN=kube-apiserver', [
      `IP:${network.apiserverIp}`,
      `IP:${network.apiServiceIp}`,
      'IP:127.0.0.1',
      'DNS:localhost',
      'DNS:kubernetes.default.svc',
    ]),
    kubeletClient: await issue('kubelet-client', '/O=system:masters/CN=apiserver-kubelet-client'),
    kubeconfigs: {
      admin: await kubeconfig('admin', { token: adminToken }),
      'controller-manager': await asCertificate('controller-manager', '/CN=system:kube-controller-manager'),
      scheduler: await asCertificate('scheduler', '/CN=system:kube-scheduler'),
    },
    node: await makeNodeCredentials(folder, network, NODE_NAME),
  };
}

/** For one more node, in the folder of `makeCredentials`. */
export async function makeNodeCredentials(
  folder: string,
  { apiserverIp, nodeIp }: NodeNetwork,
  nodeName: string,
): Promise<NodeCredentials> {
  const issue = issuerOf(folder);
  const addresses = [`IP:${nodeIp}`, `DNS:${nodeName}`];
  const kubelet = await issue(`kubelet-${nodeName}`, `/O=system:nodes/CN=system:node:${nodeName}`, addresses);
  const proxy = await issue(`proxy-${nodeName}`, '/CN=system:kube-proxy');
  return {
    nodeName,
    caPath: join(folder, 'ca.crt'),
    kubelet,
    kubeconfigs: {
      kubelet: await writeKubeconfig(folder, apiserverIp, `kubelet-${nodeName}`, asUser(kubelet)),
      proxy: await writeKubeconfig(folder, apiserverIp, `proxy-${nodeName}`, asUser(proxy)),
    },
  };
}

function asUser({ certPath, keyPath }: KeyPair): object {
  return { 'client-certificate': certPath, 'client-key': keyPath };
}

async function writeKubeconfig(folder: string, apiserverIp: string, name: string, user: object): Promise<string> {
  const path = join(folder, `${name}.kubeconfig`);
  const ca = await readFile(join(folder, 'ca.crt'), 'base64');
  const cluster = { server: `https://${apiserverIp}:${APISERVER_PORT}`, 'certificate-authority-data': ca };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster }],
    users: [{ name, user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: name } }],
    'current-context': 'test',
  };
  await writeFile(path, JSON.stringify(config, undefined, 2), { mode: 0o600 });
  return path;
}
