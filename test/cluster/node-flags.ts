import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeCredentials } from './credentials.ts';
import type { TestNode } from './node/test-node.ts';

/** Where the node's own /run and /var/lib begin; see node/hold.sh. */
export const CONTAINERD_SOCKET = '/run/containerd/containerd.sock';
export const PAUSE_IMAGE = 'warmpool.test/pause:1';
const CNI_PLUGINS = '/usr/lib/cni';

export async function containerdFlags(node: TestNode): Promise<string[]> {
  const cniFolder = join(node.folder, 'cni');
  await mkdir(cniFolder);
  const bridge = {
    cniVersion: '1.0.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: node.network.podCidr }]],
          routes: [{ dst: '0.0.0.0/0' }],
          dataDir: '/run/cni',
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
  await writeFile(join(cniFolder, '10-bridge.conflist'), JSON.stringify(bridge));
  const config = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
# whoever starts this may not be allowed to lower it
oom_score = 0
[grpc]
  address = "${CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # without it every sandbox fails where oom_score_adj cannot be lowered: can't get final child's PID from pipe: EOF
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PLUGINS}"
    conf_dir = "${cniFolder}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`;
  const configPath = join(node.folder, 'containerd.toml');
  await writeFile(configPath, config);
  return [`--config=${configPath}`];
}

export async function kubeletFlags(node: TestNode, credentials: NodeCredentials): Promise<string[]> {
  const config = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    cgroupDriver: 'cgroupfs',
    enforceNodeAllocatable: [],
    failSwapOn: false,
    oomScoreAdj: 0,
    containerRuntimeEndpoint: `unix://${CONTAINERD_SOCKET}`,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: credentials.caPath },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: credentials.kubelet.certPath,
    tlsPrivateKeyFile: credentials.kubelet.keyPath,
    // a node that is lost is noticed in NODE_GRACE_S, with the usual number of renewals in it
    nodeLeaseDurationSeconds: 10,
    nodeStatusUpdateFrequency: '3s',
    maxPods: 250,
    // nobody answers there; without one the kubelet sends an event about each pod whenever it looks at it, such as at a claim
    clusterDNS: [node.network.dnsServiceIp],
    clusterDomain: 'cluster.local',
    serializeImagePulls: false,
    imageMinimumGCAge: '240h',
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
  };
  const configPath = join(node.folder, 'kubelet.json');
  await writeFile(configPath, JSON.stringify(config, undefined, 2));
  return [
    `--config=${configPath}`,
    `--kubeconfig=${credentials.kubeconfigs.kubelet}`,
    `--hostname-override=${credentials.nodeName}`,
    `--node-ip=${node.network.nodeIp}`,
  ];
}

export function proxyFlags(node: TestNode, credentials: NodeCredentials): string[] {
  return [
    `--kubeconfig=${credentials.kubeconfigs.proxy}`,
    `--hostname-override=${credentials.nodeName}`,
    `--cluster-cidr=${node.network.podCidr}`,
    '--proxy-mode=iptables',
    '--oom-score-adj=0',
    // tables of connections belong to the whole machine
    '--conntrack-max-per-core=0',
    '--conntrack-tcp-timeout-established=0s',
    '--conntrack-tcp-timeout-close-wait=0s',
    '--iptables-min-sync-period=100ms',
  ];
}

/** As what enforces NetworkPolicies, and nothing else. */
export function policyFlags(node: TestNode, nodeName: string, kubeconfig: string): string[] {
  return [
    `--kubeconfig=${kubeconfig}`,
    `--hostname-override=${nodeName}`,
    '--run-firewall=true',
    '--run-router=false',
    '--run-service-proxy=false',
    `--service-cluster-ip-range=${node.network.serviceCidr}`,
  ];
}
