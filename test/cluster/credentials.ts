import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type KeyPair, makeCertificates } from '../apiserver/certificates.ts';
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
  kubelet: KeyPair;
  kubeconfigs: Record<'admin' | 'controller-manager' | 'scheduler' | 'kubelet' | 'proxy', string>;
}

export async function makeCredentials(folder: string, network: NodeNetwork): Promise<Credentials> {
  await mkdir(folder, { mode: 0o700 });
  const { caPath, issue, ...keys } = await makeCertificates(folder);
  const caPem = await readFile(caPath, 'utf8');
  const adminToken = randomBytes(24).toString('hex');
  const tokensPath = join(folder, 'tokens.csv');
  await writeFile(tokensPath, `${adminToken},admin,admin,system:masters\n`, { mode: 0o600 });

  const kubeconfig = async (name: string, user: object): Promise<string> => {
    const path = join(folder, `${name}.kubeconfig`);
    const server = `https://${network.nodeIp}:${APISERVER_PORT}`;
    const cluster = { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') };
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
  };
  const asCertificate = async (name: string, subject: string): Promise<string> => {
    const { certPath, keyPath } = await issue(name, subject);
    return kubeconfig(name, { 'client-certificate': certPath, 'client-key': keyPath });
  };

  const kubelet = await issue('kubelet', `/O=system:nodes/CN=system:node:${NODE_NAME}`, [
    `IP:${network.nodeIp}`,
    `DNS:${NODE_NAME}`,
  ]);
  return {
    ...keys,
    caPath,
    caPem,
    adminToken,
    tokensPath,
    apiserver: await issue('apiserver', '/CN=kube-apiserver', [
      `IP:${network.nodeIp}`,
      `IP:${network.apiServiceIp}`,
      'IP:127.0.0.1',
      'DNS:localhost',
      'DNS:kubernetes.default.svc',
    ]),
    kubeletClient: await issue('kubelet-client', '/O=system:masters/CN=apiserver-kubelet-client'),
    kubelet,
    kubeconfigs: {
      admin: await kubeconfig('admin', { token: adminToken }),
      'controller-manager': await asCertificate('controller-manager', '/CN=system:kube-controller-manager'),
      scheduler: await asCertificate('scheduler', '/CN=system:kube-scheduler'),
      proxy: await asCertificate('proxy', '/CN=system:kube-proxy'),
      kubelet: await kubeconfig('kubelet', { 'client-certificate': kubelet.certPath, 'client-key': kubelet.keyPath }),
    },
  };
}
