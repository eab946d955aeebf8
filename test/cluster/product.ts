import { join } from 'node:path';
import type { Claim } from '@warmpool/protocol/claim-api.ts';
import { request } from 'undici';
import { MANIFESTS } from '../support/overlay.ts';
import { CodeServer } from './code-server.ts';
import type { ClusterAccess, OwnAccess } from './global-setup.ts';
import { Kubectl, until } from './kubectl.ts';

export const OPERATOR_NAMESPACE = 'warmpool-system';
export const NODE_NAMESPACE = 'warmpool-node';
/** The one that the default overlay makes for pools. */
export const POOL_NAMESPACE = 'warmpool-pools';

const OVERLAY = join(MANIFESTS, 'overlays/default');
const ROLLOUT_LIMIT_S = 180;
const POOL_LIMIT_MS = 300_000;

/** As docs/first-claim.md does it; nothing changes where it is installed already. */
export async function installProduct(kubectl: Kubectl): Promise<void> {
  await kubectl.run(['apply', '--kustomize', OVERLAY]);
  await untilRolledOut(kubectl);
}

/** Two operators instead of one, and back. */
export async function installTwoOperators(kubectl: Kubectl): Promise<AsyncDisposable> {
  const overlay = join(MANIFESTS, 'overlays/ha');
  await kubectl.run(['apply', '--kustomize', overlay]);
  await untilRolledOut(kubectl);
  return {
    [Symbol.asyncDispose]: async () => {
      await kubectl.run(['delete', 'poddisruptionbudget', 'warmpool-operator', '--namespace', OPERATOR_NAMESPACE]);
      await installProduct(kubectl);
    },
  };
}

export async function untilRolledOut(kubectl: Kubectl): Promise<void> {
  const wait = (namespace: string, what: string): Promise<string> =>
    kubectl.run(['rollout', 'status', what, '--namespace', namespace, `--timeout=${ROLLOUT_LIMIT_S}s`]);
  await wait(OPERATOR_NAMESPACE, 'deployment/warmpool-operator');
  await wait(NODE_NAMESPACE, 'daemonset/warmpool-host-agent');
}

/** One more namespace that may have pools, as manifests/pools makes it. */
export async function newPoolNamespace(kubectl: Kubectl): Promise<string> {
  const namespace = await kubectl.newRestrictedNamespace();
  const roleRef = {
    apiGroup: 'rbac.authorization.k8s.io',
    kind: 'ClusterRole',
    name: 'warmpool-operator-in-pool-namespace',
  };
  const subjects = [{ kind: 'ServiceAccount', name: 'warmpool-operator', namespace: OPERATOR_NAMESPACE }];
  const metadata = { name: 'warmpool-operator', namespace };
  await kubectl.apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    ...{ metadata, roleRef, subjects },
  });
  return namespace;
}

export interface ClaimAnswer {
  status: number;
  claim: Claim;
  /** As it was sent. */
  body: unknown;
}

/** A platform: a service account that may claim in the pool's namespace. */
export class Platform {
  readonly url: string;
  readonly namespace: string;
  readonly headers: Record<string, string>;

  private constructor(url: string, namespace: string, token: string) {
    this.url = url;
    this.namespace = namespace;
    this.headers = { authorization: `Bearer ${token}` };
  }

  static async create(kubectl: Kubectl, name: string, namespace = POOL_NAMESPACE): Promise<Platform> {
    const metadata = { name, namespace };
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'warmpool-claimer' };
    const subjects = [{ kind: 'ServiceAccount', ...metadata }];
    await kubectl.apply(
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata, roleRef, subjects },
    );
    const token = await kubectl.run(['create', 'token', name, '--namespace', namespace, '--audience=warmpool.dev']);
    const service = await kubectl.get<{ spec: { clusterIP: string } }>(
      OPERATOR_NAMESPACE,
      'service',
      'warmpool-claims',
    );
    return new Platform(`http://${service.spec.clusterIP}`, namespace, token.trim());
  }

  async claim(pool: string, body: object): Promise<ClaimAnswer> {
    return this.#send('POST', `/v1/pools/${this.namespace}/${pool}/claims`, body);
  }

  async get(claimId: string): Promise<ClaimAnswer> {
    return this.#send('GET', `/v1/claims/${this.namespace}/${claimId}`);
  }

  async release(claimId: string): Promise<ClaimAnswer> {
    return this.#send('DELETE', `/v1/claims/${this.namespace}/${claimId}`);
  }

  async #send(method: 'GET' | 'POST' | 'DELETE', path: string, sent?: object): Promise<ClaimAnswer> {
    const { statusCode, body } = await request(`${this.url}${path}`, {
      method,
      headers: { ...this.headers, 'content-type': 'application/json' },
      body: sent === undefined ? null : JSON.stringify(sent),
      headersTimeout: 60_000,
    });
    const answer = await body.json();
    return { status: statusCode, claim: answer as Claim, body: answer };
  }
}

export interface InstalledProduct {
  own: OwnAccess;
  kubectl: Kubectl;
  platform: Platform;
  codeServer: CodeServer;
}

/** On the cluster that these tests have brought up: the product, a platform of that name, and code that the nodes can fetch. */
export async function startProduct(access: ClusterAccess | undefined, name: string): Promise<InstalledProduct> {
  if (access?.own === undefined)
    throw new Error('only nodes of a cluster that these tests have brought up reach their code');
  const { own } = access;
  const kubectl = new Kubectl(access);
  await installProduct(kubectl);
  const platform = await Platform.create(kubectl, name);
  return { own, kubectl, platform, codeServer: await CodeServer.listen(own.network.hostIp) };
}

export const NODEJS = { name: 'nodejs', version: '24' };

export interface PoolOptions {
  namespace?: string;
  runtime?: { name: string; version: string };
  /** Of the runtime's container; none unless told otherwise. */
  cpuLimit?: string;
  /** What its pods' spec has besides a container. */
  podSpec?: object;
  /** Of the pool's own spec. */
  standby?: object;
}

/** A pool, when all of its pods are standby; of Node unless told otherwise. */
export async function createPool(
  kubectl: Kubectl,
  name: string,
  replicas: number,
  { namespace = POOL_NAMESPACE, runtime = NODEJS, cpuLimit, podSpec, standby }: PoolOptions = {},
): Promise<void> {
  const image = `warmpool.dev/runtime-${runtime.name}:${runtime.version}`;
  const limits = { memory: '256Mi', ...(cpuLimit !== undefined && { cpu: cpuLimit }) };
  const resources = { requests: { cpu: '10m', memory: '64Mi' }, limits };
  const containers = [{ name: 'runtime', image, resources }];
  await kubectl.apply({
    apiVersion: 'warmpool.dev/v1alpha1',
    kind: 'WarmPool',
    metadata: { name, namespace },
    spec: { runtime, replicas, standby, template: { spec: { ...podSpec, containers } } },
  });
  await untilFull(kubectl, name, replicas, namespace);
}

interface PoolStatus {
  readyReplicas?: number;
  conditions?: { message: string }[];
}

/** Until the pool says so and has as many pods: what it says may be of a moment ago. */
export async function untilFull(
  kubectl: Kubectl,
  name: string,
  replicas: number,
  namespace = POOL_NAMESPACE,
): Promise<void> {
  await until(`${replicas} standby pods in ${name}`, POOL_LIMIT_MS, async () => {
    const { status } = await kubectl.get<{ status?: PoolStatus }>(namespace, 'warmpools', name);
    const { readyReplicas = 0, conditions = [] } = status ?? {};
    if (readyReplicas !== replicas)
      throw new Error(`the pool has ${readyReplicas} and says: ${conditions.map(({ message }) => message).join('; ')}`);
    const labels = `warmpool.dev/pool=${name},warmpool.dev/state=standby`;
    const names = await kubectl.run(['get', 'pods', '-n', namespace, '-l', labels, '-o', 'name']);
    return names.split('\n').filter((line) => line !== '').length === replicas;
  });
}
