import { HOST_AGENT_TLS_NAME } from '@warmpool/protocol/names.ts';
import { MutualTls } from '@warmpool/wire/mutual-tls.ts';
import { CertificateKeeper } from '../certificates/certificate-keeper.ts';
import type { OperatorConfig } from '../config.ts';
import type { Clock } from '../engine/clock.ts';
import type { KubeClient } from '../engine/kube-client.ts';
import type { Log } from '../engine/log.ts';
import type { Random } from '../engine/random.ts';
import type { HostAgentPodsOptions } from './host-agent-pods.ts';
import { HttpHostAgentClient } from './http-host-agent-client.ts';

export interface HostAgents {
  client: HttpHostAgentClient;
  grantKey: Buffer;
  /** Where the cluster says they are; `undefined`: they were named at the start. */
  discovery: Omit<HostAgentPodsOptions, 'onMoved'> | undefined;
  /** Keeps the certificates fresh. Resolves after the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

export const HOST_AGENT_LABELS = 'app.kubernetes.io/name=warmpool-host-agent';

/** Named ones with the key from a file, or those of the cluster over mutual TLS. */
export async function hostAgents(
  deps: { clock: Clock; random: Random; kube: KubeClient; log: Log },
  { hostAgents: source, namespace }: Pick<OperatorConfig, 'hostAgents' | 'namespace'>,
  signal: AbortSignal,
): Promise<HostAgents> {
  if (source.kind === 'named') {
    const client = new HttpHostAgentClient(source.endpoints);
    return { client, grantKey: source.grantKey, discovery: undefined, run: () => Promise.resolve() };
  }
  const options = { operatorNamespace: namespace, hostAgentNamespace: source.namespace };
  const certificates = new CertificateKeeper(deps, options);
  const first = await certificates.first(signal);
  const tls = new MutualTls(HOST_AGENT_TLS_NAME, first);
  return {
    client: new HttpHostAgentClient([], tls.connector),
    grantKey: first.grantKey,
    discovery: { namespace: source.namespace, labelSelector: HOST_AGENT_LABELS, port: source.port },
    run: (until) => certificates.run(until, (renewed) => tls.use(renewed)),
  };
}
