import { join } from 'node:path';
import { APISERVER_PORT, type Credentials } from './credentials.ts';
import type { NodeNetwork } from './node/node-network.ts';

/** Without word from a node for this long it is NotReady; 50 s in other clusters. */
const NODE_GRACE_S = 15;
export const ETCD_URL = 'http://127.0.0.1:2379';

export function etcdFlags(folder: string): string[] {
  return [
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${ETCD_URL}`,
    `--advertise-client-urls=${ETCD_URL}`,
    '--listen-peer-urls=http://127.0.0.1:2380',
  ];
}

export function apiserverFlags(credentials: Credentials, network: NodeNetwork): string[] {
  const { apiserver, kubeletClient } = credentials;
  return [
    `--etcd-servers=${ETCD_URL}`,
    '--bind-address=0.0.0.0',
    `--advertise-address=${network.nodeIp}`,
    `--secure-port=${APISERVER_PORT}`,
    `--tls-cert-file=${apiserver.certPath}`,
    `--tls-private-key-file=${apiserver.keyPath}`,
    `--client-ca-file=${credentials.caPath}`,
    `--token-auth-file=${credentials.tokensPath}`,
    `--kubelet-client-certificate=${kubeletClient.certPath}`,
    `--kubelet-client-key=${kubeletClient.keyPath}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--kubelet-certificate-authority=${credentials.caPath}`,
    `--service-account-key-file=${credentials.serviceAccountPublicPath}`,
    `--service-account-signing-key-file=${credentials.serviceAccountKeyPath}`,
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-cluster-ip-range=${network.serviceCidr}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
  ];
}

export function controllerManagerFlags(credentials: Credentials, network: NodeNetwork): string[] {
  const kubeconfig = credentials.kubeconfigs['controller-manager'];
  return [
    ...connection(kubeconfig),
    `--service-account-private-key-file=${credentials.serviceAccountKeyPath}`,
    `--root-ca-file=${credentials.caPath}`,
    `--cluster-signing-cert-file=${credentials.caPath}`,
    `--cluster-signing-key-file=${credentials.caKeyPath}`,
    '--use-service-account-credentials',
    '--node-monitor-period=1s',
    `--node-monitor-grace-period=${NODE_GRACE_S}s`,
    `--service-cluster-ip-range=${network.serviceCidr}`,
  ];
}

export function schedulerFlags(credentials: Credentials): string[] {
  return connection(credentials.kubeconfigs.scheduler);
}

/** Alone in its cluster, each of them; whoever may use the apiserver may read their metrics. */
function connection(kubeconfig: string): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
  ];
}
