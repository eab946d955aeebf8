import { type Cluster, type DispatcherOptions, HttpMethod, KubeConfig, RequestContext } from '@kubernetes/client-node';

export interface KubeConfigOptions {
  /** Default: `$KUBECONFIG`, then `~/.kube/config`, then the pod's service account. */
  kubeconfigPath?: string;
  /** Default: the file's current context. */
  context?: string;
}

/** A KubeConfig that tells how to connect, instead of making a new connection pool for every request. */
export class PooledKubeConfig extends KubeConfig {
  #connect: DispatcherOptions = { type: 'none' };

  override createDispatcherOptions(
    ...[cluster, agentOptions]: Parameters<KubeConfig['createDispatcherOptions']>
  ): DispatcherOptions {
    this.#connect = super.createDispatcherOptions(cluster, agentOptions);
    return { type: 'none' };
  }

  /** Where the apiserver is, and what each request to it carries. Reads token and CA files. */
  async security(): Promise<{ url: URL; headers: Record<string, string>; connect: DispatcherOptions }> {
    const { server } = this.#cluster();
    const context = new RequestContext(server, HttpMethod.GET);
    await this.applySecurityAuthentication(context);
    return { url: new URL(server), headers: context.getHeaders(), connect: this.#connect };
  }

  #cluster(): Cluster {
    const cluster = this.getCurrentCluster();
    if (cluster) return cluster;
    throw new Error(`the kubeconfig has no cluster for its context "${this.getCurrentContext()}"; set current-context`);
  }
}

/** How to reach the apiserver and as whom. */
export function loadKubeConfig(options: KubeConfigOptions = {}): PooledKubeConfig {
  const config = new PooledKubeConfig();
  if (options.kubeconfigPath === undefined) config.loadFromDefault();
  else config.loadFromFile(options.kubeconfigPath);
  if (options.context !== undefined) config.setCurrentContext(options.context);
  return config;
}

/** For a server whose address and token are known, without a file. A server without TLS has no `caPem`. */
export function tokenKubeConfig(access: { url: string; token: string; caPem?: string }): PooledKubeConfig {
  const config = new PooledKubeConfig();
  const trust =
    access.caPem === undefined
      ? { skipTLSVerify: access.url.startsWith('http:') }
      : { skipTLSVerify: false, caData: Buffer.from(access.caPem).toString('base64') };
  config.loadFromClusterAndUser(
    { name: 'cluster', server: access.url, ...trust },
    { name: 'user', token: access.token },
  );
  return config;
}
